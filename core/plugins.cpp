#include "core/plugins.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <sstream>

#include "core/places.h"

namespace vmxscope::core {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSymbol = "vmxscope_plugin";
constexpr std::string_view kRebuild = "Build it against the headers of this version.";

std::vector<std::string> words_of(const char* text) {
    std::istringstream words(text);
    std::vector<std::string> all;
    for (std::string word; words >> word;) all.push_back(std::move(word));
    return all;
}

Result<void> check(const Plugin& p) {
    if (p.abi != kPluginAbi)
        return fail(fmt::format("It speaks version {} of the plugin interface, and this program version {}.", p.abi, kPluginAbi),
                    std::string(kRebuild));
    if (p.layout != plugin_layout())
        return fail("It was built against headers that differ from this program's.", std::string(kRebuild));
    if (p.name == nullptr || p.version == nullptr || p.schemes == nullptr || p.make_backends == nullptr)
        return fail("It leaves out its name, version, schemes or back ends.");
    return {};
}

}  // namespace

Result<std::vector<std::unique_ptr<Backend>>> Plugins::backends_of(const Plugin& plugin) const {
    const auto schemes = words_of(plugin.schemes);
    for (const LoadedPlugin& other : loaded_)
        for (const std::string& scheme : schemes)
            if (std::count(other.schemes.begin(), other.schemes.end(), scheme) != 0)
                return fail(fmt::format("'{}:' is served by the plugin {} already.", scheme, other.name));
    std::vector<std::unique_ptr<Backend>> made;
    try {
        plugin.make_backends(made);
    } catch (const std::exception& e) {
        return fail(fmt::format("It failed: {}.", e.what()));
    }
    std::vector<std::string> served;
    for (const auto& backend : made) served.emplace_back(backend ? backend->scheme() : "");
    if (!std::is_permutation(served.begin(), served.end(), schemes.begin(), schemes.end()) || served.empty())
        return fail(fmt::format("It says that it serves '{}', and serves other schemes.", plugin.schemes));
    return made;
}

bool Plugins::take(const Plugin& plugin, const std::string& origin) {
    auto made = check(plugin).and_then([&] { return backends_of(plugin); });
    if (!made) {
        refused_.push_back({origin, made.error().text()});
        return false;
    }
    loaded_.push_back({plugin.name, plugin.version, words_of(plugin.schemes), plugin.abilities, origin});
    for (auto& backend : *made) backends_.add(std::move(backend));
    return true;
}

void Plugins::load_file(const fs::path& file) {
    const auto refuse = [&](std::string why) { refused_.push_back({file.string(), std::move(why)}); };
    if (::geteuid() == 0)
        if (const auto safe = only_root_writes(file); !safe) return refuse(safe.error().text());
    void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return refuse(fmt::format("It cannot be loaded: {}.", ::dlerror()));
    const auto* plugin = static_cast<const Plugin*>(::dlsym(library, kSymbol));
    if (plugin == nullptr) refuse(fmt::format("It is no plugin of vmxscope: it has no {}.", kSymbol));
    // What is loaded stays: targets and back ends are made of its code.
    if (plugin == nullptr || !take(*plugin, file.string())) ::dlclose(library);
}

void Plugins::load_folder(const fs::path& folder) {
    std::error_code ignored;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder, ignored))
        if (entry.path().extension() == ".so") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) load_file(file);
}

Result<void> only_root_writes(const fs::path& file) {
    std::error_code error;
    fs::path at = fs::canonical(file, error);
    if (error) return fail(fmt::format("{} cannot be looked at: {}.", file.string(), error.message()));
    for (;; at = at.parent_path()) {
        struct stat status {};
        if (::stat(at.c_str(), &status) != 0)
            return fail(fmt::format("{} cannot be looked at: {}.", at.string(), std::strerror(errno)));
        if (status.st_uid != 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
            return fail(fmt::format("Others than root may change {}, and root runs only what root alone can change.", at.string()));
        if (at == at.root_path()) return {};
    }
}

std::vector<fs::path> plugin_folders() {
    std::vector<fs::path> folders;
    const char* chosen = ::getauxval(AT_SECURE) == 0 ? std::getenv("VMXSCOPE_PLUGIN_PATH") : nullptr;
    std::istringstream rest(chosen ? chosen : "");
    for (std::string folder; std::getline(rest, folder, ':');)
        if (!folder.empty()) folders.emplace_back(folder);
    folders.push_back(plugin_folder());
    return folders;
}

}  // namespace vmxscope::core
