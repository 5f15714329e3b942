#include "vmx/entry_check.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include <fmt/format.h>

#include "vmx/bits.h"
#include "vmx/entry_check/context.h"

namespace vmxscope::vmx {
namespace {

constexpr std::uint64_t kWidthMask[] = {0xffff, ~0ULL, 0xffffffff, ~0ULL};  // by Width

Outcome outcome_of(const EntryRule& rule, const EntryContext& context, std::uint64_t fault) {
    if (context.lacks(rule.fields[0])) return Outcome::Passed;
    if (context.missing()) return Outcome::Undecided;
    return fault ? Outcome::Failed : Outcome::Passed;
}

std::string name_of_missing(std::uint32_t what, const VmcsImage& image) {
    const auto number = static_cast<std::uint16_t>(what);
    switch (what & ~0xffffu) {
        case EntryContext::kMissingField: {
            const auto field = static_cast<Field>(number);
            return fmt::format("{} {}", name_of(field),
                               image[field].state == Known::Faulted ? "could not be read" : "was not read");
        }
        case EntryContext::kMissingMsr:
            return fmt::format("{} is not known", name_of(static_cast<CapabilityMsr>(number)));
        case EntryContext::kMissingApicMode: return "the mode of the local APIC is not known";
        default: return "the VM-entry MSR-load area was not read";
    }
}

/// "PG=1 PE=0" when the mask picks a few named bits; what the field's value says otherwise.
std::string shown_bits(Field field, std::uint64_t mask, std::uint64_t value) {
    if (std::popcount(mask) > 4) return describe(field, value);
    std::string text;
    for (const BitName& b : bits_of(field)) {
        if (!(mask >> b.bit & 1)) continue;
        text += fmt::format("{}{}={}", text.empty() ? "" : " ", b.name, value >> b.bit & 1);
    }
    return text.empty() ? describe(field, value) : text;
}

std::string shown(Field field, std::uint64_t mask, const Value& value) {
    if (!value.known()) return fmt::format("{} is not known", name_of(field));
    const std::string meaning = shown_bits(field, mask, value.bits);
    return fmt::format("{} is {:#x}{}", name_of(field), value.bits, meaning.empty() ? "" : " (" + meaning + ")");
}

}  // namespace

EntryContext::EntryContext(const VmcsImage& image, const Capabilities& capabilities, const MsrArea* area)
    : capabilities_(capabilities), area_(area) {
    const auto fields = all_fields();
    for (std::size_t i = 0; i < fields.size(); ++i) {
        const Value& v = image.at_index(i);
        slots_[slot_of(fields[i].field)] = {v.bits & kWidthMask[static_cast<std::size_t>(width_of(fields[i].field))],
                                            v.state};
    }
    physical_mask_ = bits(std::clamp<unsigned>(capabilities.maxphyaddr, 32, 52) - 1, 0);
    linear_bits_ = std::clamp<unsigned>(capabilities.linear_bits, 48, 57);
    pin_ = read_control(Field::PIN_BASED_VM_EXEC_CONTROL);
    proc_ = read_control(Field::CPU_BASED_VM_EXEC_CONTROL);
    secondary_ = activated(proc_, proc::kSecondaryControls, read_control(Field::SECONDARY_VM_EXEC_CONTROL));
    tertiary_ = activated(proc_, proc::kTertiaryControls, read_control(Field::TERTIARY_VM_EXEC_CONTROL));
    exits_ = read_control(Field::VM_EXIT_CONTROLS);
    exits2_ = activated(exits_, exits::kSecondaryControls, read_control(Field::SECONDARY_VM_EXIT_CONTROLS));
    entries_ = read_control(Field::VM_ENTRY_CONTROLS);
    for (std::size_t i = 0; i < kLimited.size(); ++i) allowed_[i] = allowed(kLimited[i], capabilities);
    forget();
}

EntryContext::Control EntryContext::read_control(Field f) const {
    forget();
    const std::uint64_t bits = (*this)[f];
    return {bits, missing()};
}

EntryContext::Control EntryContext::activated(const Control& by, std::uint64_t bit, const Control& control) {
    if (by.missing) return by;
    return by.bits & bit ? control : Control{};
}

std::span<const EntryRule> entry_rules() {
    struct Table {
        std::array<EntryRule, kMaxEntryRules> rules{};
        std::size_t size = 0;
    };
    static const Table table = [] {
        Table t;
        for (const auto rules :
             {execution_control_rules(), exit_control_rules(), entry_control_rules(), host_rules(),
              guest_register_rules(), guest_segment_rules(), guest_table_rules(), guest_state_rules(), msr_rules()}) {
            assert(t.size + rules.size() <= kMaxEntryRules);
            std::copy(rules.begin(), rules.end(), t.rules.begin() + static_cast<std::ptrdiff_t>(t.size));
            t.size += rules.size();
        }
        return t;
    }();
    return std::span(table.rules).first(table.size);
}

std::optional<std::size_t> entry_rule_by_id(std::string_view id) {
    const auto rules = entry_rules();
    const auto found = std::find_if(rules.begin(), rules.end(), [id](const EntryRule& r) { return r.id == id; });
    if (found == rules.end()) return std::nullopt;
    return static_cast<std::size_t>(found - rules.begin());
}

EntryCheck check_entry(const VmcsImage& image, const Capabilities& capabilities, const MsrArea* area) {
    const EntryContext context(image, capabilities, area);
    EntryCheck check;
    const auto rules = entry_rules();
    for (std::size_t i = 0; i < rules.size(); ++i) {
        context.forget();
        const std::uint64_t fault = rules[i].fault(context);
        const Outcome outcome = outcome_of(rules[i], context, fault);
        check.outcomes[i] = outcome;
        // MSRs are loaded one after another: the lowest entry that some rule finds fault with ends it.
        if (outcome != Outcome::Failed || rules[i].answer != Answer::MsrLoading) continue;
        if (check.msr_rule && check.msr_entry <= fault) continue;
        check.msr_rule = i;
        check.msr_entry = static_cast<std::uint32_t>(fault);
    }
    return check;
}

std::optional<std::size_t> EntryCheck::first() const {
    const auto found = std::find(outcomes.begin(), outcomes.end(), Outcome::Failed);
    if (found == outcomes.end()) return std::nullopt;
    const auto i = static_cast<std::size_t>(found - outcomes.begin());
    return entry_rules()[i].answer == Answer::MsrLoading ? msr_rule : i;
}

std::size_t EntryCheck::failed() const {
    return static_cast<std::size_t>(std::count(outcomes.begin(), outcomes.end(), Outcome::Failed));
}

std::size_t EntryCheck::undecided() const {
    return static_cast<std::size_t>(std::count(outcomes.begin(), outcomes.end(), Outcome::Undecided));
}

std::string explain(const EntryRule& rule, const VmcsImage& image, const Capabilities& capabilities) {
    std::string text = fmt::format("{}:", rule.title);
    for (std::size_t i = 0; i < rule.fields.size(); ++i)
        text += fmt::format("{} {}", i ? "," : "", shown(rule.fields[i], rule.masks[i], image[rule.fields[i]]));
    const EntryContext context(image, capabilities, nullptr);
    const std::uint64_t fault = rule.answer == Answer::MsrLoading ? 0 : rule.fault(context);
    if (fault && fault != ~0ULL && !context.missing()) {
        const std::string names = join_bits(bits_of(rule.fields[0]), fault);
        text +=
            fmt::format("; at fault: {}", names.empty() || names[0] == '+' ? fmt::format("{:#x}", fault)
                                                                           : fmt::format("{:#x} ({})", fault, names));
    }
    return text + ".";
}

std::string why_undecided(const EntryRule& rule, const VmcsImage& image, const Capabilities& capabilities,
                          const MsrArea* area) {
    const EntryContext context(image, capabilities, area);
    const std::uint64_t fault = rule.fault(context);
    if (outcome_of(rule, context, fault) != Outcome::Undecided) return "";
    return name_of_missing(context.missing(), image);
}

std::string_view name_of(Answer answer) {
    switch (answer) {
        case Answer::VmFailInvalid: return "vmfail-invalid";
        case Answer::VmFailControls: return "vmfail-controls";
        case Answer::VmFailHost: return "vmfail-host";
        case Answer::InvalidGuestState: return "invalid-guest-state";
        case Answer::MsrLoading: return "msr-loading";
    }
    return "?";
}

std::string describe(Answer answer, std::uint32_t qualification) {
    constexpr std::string_view kGuestState[] = {"", "", ", loading the PDPTEs", ", injecting an NMI",
                                                ", VMCS link pointer"};  // SDM 27.8
    switch (answer) {
        case Answer::VmFailInvalid: return "VMfailInvalid";
        case Answer::VmFailControls:
            return "VMfailValid, VM-instruction error 7 (VM entry with invalid control fields)";
        case Answer::VmFailHost: return "VMfailValid, VM-instruction error 8 (VM entry with invalid host-state fields)";
        case Answer::InvalidGuestState:
            return fmt::format("VM-exit, reason 33 (VM-entry failure: invalid guest state), qualification {}{}",
                               qualification, qualification < std::size(kGuestState) ? kGuestState[qualification] : "");
        case Answer::MsrLoading:
            return fmt::format("VM-exit, reason 34 (VM-entry failure: MSR loading), qualification {}{}", qualification,
                               qualification ? ": the number of the entry" : "");
    }
    return "?";
}

}  // namespace vmxscope::vmx
