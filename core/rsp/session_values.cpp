// The packets that read registers and memory.
#include <fmt/format.h>

#include <algorithm>

#include "core/rsp/session.h"

namespace vmxscope::core::rsp {

namespace {

/// `m` is answered in hexadecimal, in one packet.
constexpr std::size_t kMostByM = 0x4000;
/// A longer search would keep the vCPUs held for longer than a client waits.
constexpr std::uint64_t kMostSearched = 16u << 20, kLongestPattern = 4096;

std::string_view as_text(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr std::string_view kSuffix = ";thread:";

}  // namespace

const Registers& Session::registers() {
    if (!registers_) registers_.emplace(member_fields(*target_, newest(selected_vcpu())));
    return *registers_;
}

std::optional<std::uint32_t> Session::taken_thread(std::string_view& arguments) {
    const std::size_t at = arguments.find(kSuffix.substr(arguments.starts_with("thread:") ? 1 : 0));
    if (at == std::string_view::npos) return selected_vcpu();
    std::string_view name = arguments.substr(arguments.find(':', at) + 1);
    arguments = arguments.substr(0, at);
    const auto id = parse_thread(take_until(name, ';'));
    if (!id || !name.empty()) return {};
    if (id->which != ThreadId::Which::One) return selected_vcpu();
    return find_vcpu(id->vcpu) ? std::optional(id->vcpu) : std::nullopt;
}

/// lldb does not know "xxxx" and shows a filler of its own for it; it must be told with an error, one register at a
/// time.
Session::Reply Session::read_registers(std::string_view suffix) {
    const auto vcpu = taken_thread(suffix);
    if (!vcpu || !suffix.empty()) return error("The thread whose registers are asked for is not there.");
    if (error_strings_) return error("The registers are read one by one.");
    return registers().general_hex(newest(*vcpu));
}

Session::Reply Session::read_register(std::string_view number) {
    const auto vcpu = taken_thread(number);
    if (!vcpu) return error("The thread whose register is asked for is not there.");
    const auto n = parse_hex(number);
    const auto hex = n ? registers().hex(*n, newest(*vcpu)) : std::nullopt;
    if (!hex) return error(fmt::format("There is no register '{}'.", number));
    if (error_strings_ && hex->starts_with('x')) return error("Nobody has read this register.");
    return *hex;
}

Space Session::space_of(const Vcpu& vcpu) const {
    if (space_) return *space_;
    if (physical_) return vcpu.level == 2 ? Space::L2Physical : Space::L1Physical;
    return vcpu.level == 2 ? Space::L2Linear : Space::L1Linear;
}

std::optional<std::vector<std::byte>> Session::memory_at(std::string_view range) {
    const auto address = parse_hex(take_until(range, ','));
    const auto size = parse_hex(range);
    const auto vcpu = find_vcpu(selected_vcpu());
    if (!address || !size || *size == 0 || *size > kMostByM || !vcpu) return {};
    auto bytes = target_->read_memory(vcpu->id, space_of(*vcpu), *address, *size);
    return bytes ? std::optional(std::move(*bytes)) : std::nullopt;
}

/// What the vCPU that is held runs sees, if no other space is set. gdb 13 takes only the numbered form of an error for
/// an answer: at "E." and a sentence, `x/i $pc` aborts it.
Session::Reply Session::read_memory(std::string_view range) {
    const auto bytes = memory_at(range);
    return bytes ? to_hex(as_text(*bytes)) : "E01";
}

/// lldb's: the bytes themselves. "x0,0" asks whether this is served.
Session::Reply Session::read_memory_as_it_is(std::string_view range) {
    if (range == "0,0") return "OK";
    const auto bytes = memory_at(range);
    return bytes ? std::string(as_text(*bytes)) : "E01";
}

/// ADDRESS;LENGTH;BYTES. Pieces overlap by less than a pattern, so that none is missed between two.
Session::Reply Session::search_memory(std::string_view request) {
    const auto address = parse_hex(take_until(request, ';'));
    const auto length = parse_hex(take_until(request, ';'));
    const std::string_view pattern = request;
    const auto vcpu = find_vcpu(selected_vcpu());
    if (!address || !length || pattern.empty() || pattern.size() > kLongestPattern || *length > kMostSearched || !vcpu)
        return "E01";
    for (std::uint64_t at = 0; at + pattern.size() <= *length;) {
        const std::size_t size = std::min<std::uint64_t>(kMostMemory, *length - at);
        const auto bytes = target_->read_memory(vcpu->id, space_of(*vcpu), *address + at, size);
        if (!bytes) return "E01";
        if (const std::size_t found = as_text(*bytes).find(pattern); found != std::string_view::npos)
            return fmt::format("1,{:x}", *address + at + found);
        at += size - pattern.size() + 1;
    }
    return "0";
}

Session::Reply Session::qemu_supported(std::string_view) {
    return "PhyMemMode";
}

/// QEMU's way to ask for physical addresses: those of the level that runs.
Session::Reply Session::physical_memory(std::string_view) {
    const bool physical = space_ ? *space_ == Space::L1Physical || *space_ == Space::L2Physical : physical_;
    return physical ? "1" : "0";
}

Session::Reply Session::set_physical_memory(std::string_view mode) {
    if (mode != "0" && mode != "1") return "E01";
    space_.reset();
    physical_ = mode == "1";
    return "OK";
}

/// gdb does not ask again for code and stack that it has read.
std::string Session::monitor_space(std::optional<Space> space) {
    space_ = space;
    physical_ = false;
    return fmt::format("Memory is now {}. If gdb shows what it read before: maintenance flush dcache.\n",
                       space ? std::string(name_of(*space)) : "the linear one of the level that runs");
}

}  // namespace vmxscope::core::rsp
