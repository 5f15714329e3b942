// Where the guest is to stop: conditions on transitions (monitor break), and gdb's own breakpoints (Z0, Z1).
#include <fmt/format.h>

#include <algorithm>

#include "core/rsp/session.h"

namespace vmxscope::core::rsp {

namespace {

constexpr std::size_t kMostBreakpoints = 4096;
constexpr std::string_view kOnlyTransitions =
    "Breakpoints at addresses: KVM gives them only to the VMM's own process (KVM_SET_GUEST_DEBUG), so the guest stops only "
    "where an instruction at such an address makes an exit or an entry.\n";

/// "ADDRESS,KIND", with gdb's conditions and commands after it, which gdb looks at itself as well.
std::optional<std::uint64_t> address_of(std::string_view place) {
    const auto address = parse_hex(take_until(place, ','));
    return address && parse_hex(take_until(place, ';')) ? address : std::nullopt;
}

}  // namespace

std::string Session::add_break(std::string_view condition) {
    const auto query = query::Query::parse(condition);
    if (!query) return query::caret_text(condition, query.error()) + query.error().what + "\n";
    const auto number = target_->add(*query);
    if (!number) return number.error().text() + "\n";
    return fmt::format("Break {}: {}. continue stops at the next transition that it holds for.\n", *number, query->text());
}

std::string Session::break_list() const {
    std::string text;
    for (const BreakTarget::Break& b : target_->breaks())
        text += fmt::format("{:>3}  {}  (hit {} times)\n", b.number, b.condition.text(), b.hits);
    return text.empty() ? "There are no breaks. Set one: monitor break if EXPRESSION.\n" : text;
}

Session::Reply Session::insert_software(std::string_view place) {
    return insert(place, "swbreak");
}

Session::Reply Session::insert_hardware(std::string_view place) {
    return insert(place, "hwbreak");
}

Session::Reply Session::insert(std::string_view place, std::string_view kind) {
    const auto address = address_of(place);
    if (!address) return error(fmt::format("'{}' is not ADDRESS,KIND.", place));
    if (breakpoints_.size() >= kMostBreakpoints && !breakpoints_.contains(*address))
        return error(fmt::format("There are {} breakpoints already.", kMostBreakpoints));
    if (!breakpoints_.contains(*address))
        if (auto inserted = target_->insert_breakpoint(*address); !inserted) return error(inserted.error());
    breakpoints_[*address] = kind;
    return "OK";
}

/// One that is not there is as good as removed.
Session::Reply Session::remove_breakpoint(std::string_view place) {
    const auto address = address_of(place);
    if (!address) return error(fmt::format("'{}' is not ADDRESS,KIND.", place));
    if (breakpoints_.erase(*address) != 0)
        if (auto removed = target_->remove_breakpoint(*address); !removed) return error(removed.error());
    return "OK";
}

/// What kind of breakpoint the vCPU that stopped is at. gdb that is told so where it has set none resumes for ever.
std::string_view Session::breakpoint_at(const Stop& stop) {
    if (breakpoints_.empty()) return {};
    std::optional<std::uint64_t> rip;
    if (const auto* t = at_stop(stop)) {
        if (t->regs[nested::RIP].known()) rip = t->regs[nested::RIP].bits;
    } else if (stop.why == Stop::Why::Instruction) {
        const auto all = target_->registers(stop.vcpu);
        for (const RegisterBytes& r : all ? *all : std::vector<RegisterBytes>{}) {
            if (r.name != "rip" || r.bytes.size() != 8) continue;
            rip = 0;
            for (unsigned i = 0; i < 8; ++i) *rip |= std::to_integer<std::uint64_t>(r.bytes[i]) << (8 * i);
        }
    }
    const auto set = rip ? breakpoints_.find(*rip) : breakpoints_.end();
    if (set == breakpoints_.end()) return {};
    return (set->second == "swbreak" ? swbreak_ : hwbreak_) ? set->second : std::string_view{};
}

/// Said once, when it first matters.
void Session::tell_of_addresses() {
    if (target_->addresses().empty() || std::exchange(told_of_addresses_, true)) return;
    connection_.send("O" + to_hex(kOnlyTransitions));
}

}  // namespace vmxscope::core::rsp
