#include "core/cpu_catalog.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "core/places.h"

namespace vmxscope::core {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kMostBytes = 64 << 10;

bool is_path(const std::string& cpu) {
    return cpu.find('/') != std::string::npos || cpu.ends_with(".json");
}

/// "0x…", all of it.
std::optional<std::uint64_t> parse_hex(const json& value) {
    if (!value.is_string()) return std::nullopt;
    std::string_view text = value.get_ref<const std::string&>();
    if (!text.starts_with("0x")) return std::nullopt;
    text.remove_prefix(2);
    std::uint64_t bits = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return bits;
}

/// An unsigned number of the object from `low` to `high`.
std::optional<std::uint8_t> parse_bits(const json& object, const char* key, unsigned low, unsigned high) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
    const auto bits = found->get<std::uint64_t>();
    if (bits < low || bits > high) return std::nullopt;
    return static_cast<std::uint8_t>(bits);
}

}  // namespace

std::vector<std::string> cpu_names() {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& file : fs::directory_iterator(resource("cpus"), ignored))
        if (file.path().extension() == ".json") names.push_back(file.path().stem());
    std::sort(names.begin(), names.end());
    return names;
}

Result<vmx::Capabilities> parse_cpu(std::string_view text, const std::string& name) {
    const json file = json::parse(text, nullptr, false);
    if (!file.is_object()) return fail(fmt::format("{} is not a JSON object.", name));
    vmx::Capabilities caps;
    const auto maxphyaddr = parse_bits(file, "maxphyaddr", 32, 52),
               linear_bits = parse_bits(file, "linear_bits", 48, 57);
    if (!maxphyaddr) return fail(fmt::format("{} has no \"maxphyaddr\" from 32 to 52.", name));
    if (!linear_bits) return fail(fmt::format("{} has no \"linear_bits\" from 48 to 57.", name));
    caps.maxphyaddr = *maxphyaddr;
    caps.linear_bits = *linear_bits;
    const auto msrs = file.find("msrs");
    if (msrs == file.end() || !msrs->is_object()) return fail(fmt::format("{} has no object \"msrs\".", name));
    for (const auto& [msr_name, value] : msrs->items()) {
        const auto msr = vmx::capability_msr_by_name(msr_name);
        if (!msr) return fail(fmt::format("{} names '{}', which is no capability MSR.", name, msr_name));
        const auto bits = parse_hex(value);
        if (!bits) return fail(fmt::format("{} of {} is not a string \"0x…\" of at most 64 bits.", msr_name, name));
        caps[*msr] = vmx::Value::of(*bits);
    }
    return caps;
}

Result<vmx::Capabilities> load_cpu(const std::string& cpu) {
    const auto names = cpu_names();
    if (!is_path(cpu) && std::find(names.begin(), names.end(), cpu) == names.end())
        return fail(fmt::format("No processor is called '{}'.", cpu),
                    fmt::format("Those there are: {}. Or give the path of a file.", fmt::join(names, ", ")));
    const fs::path path = is_path(cpu) ? fs::path(cpu) : resource("cpus") / (cpu + ".json");
    std::ifstream in(path, std::ios::binary);
    std::string text(kMostBytes + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
    if (text.empty()) return fail(fmt::format("'{}' cannot be read, or is empty.", path.string()));
    if (text.size() > kMostBytes) return fail(fmt::format("'{}' has more than {} bytes.", path.string(), kMostBytes));
    return parse_cpu(text, "'" + path.string() + "'");
}

}  // namespace vmxscope::core
