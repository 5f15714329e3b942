// The plugins of this program: those that are built in, and those in folders. They stay until the program ends.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/plugin.h"
#include "core/target.h"

namespace vmxscope::core {

struct LoadedPlugin {
    std::string name, version;
    std::vector<std::string> schemes;
    Abilities abilities;
    std::string origin;  // a path; "" = built in
};

struct RefusedPlugin {
    std::string path;
    std::string why;  // a sentence
};

class Plugins {
  public:
    void add_built_in(const Plugin& plugin) { take(plugin, ""); }
    /// Every *.so in it, in the order of their names. A folder that is not there has none.
    void load_folder(const std::filesystem::path& folder);
    void load_file(const std::filesystem::path& file);

    const Backends& backends() const { return backends_; }
    const std::vector<LoadedPlugin>& loaded() const { return loaded_; }
    const std::vector<RefusedPlugin>& refused() const { return refused_; }

  private:
    bool take(const Plugin& plugin, const std::string& origin);
    Result<std::vector<std::unique_ptr<Backend>>> backends_of(const Plugin& plugin) const;

    Backends backends_;
    std::vector<LoadedPlugin> loaded_;
    std::vector<RefusedPlugin> refused_;
};

/// Where plugins lie: what VMXSCOPE_PLUGIN_PATH names (colons between them; not where the program has more rights than who
/// started it), then the folder that belongs to this program, built or installed.
std::vector<std::filesystem::path> plugin_folders();

/// What root may run: a file, and folders up to the first, that only root can change.
Result<void> only_root_writes(const std::filesystem::path& file);

}  // namespace vmxscope::core
