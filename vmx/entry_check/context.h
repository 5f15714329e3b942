// What the rules of VM-entry read: the fields and the capabilities, and a note of whatever was asked for and not known.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "vmx/controls.h"
#include "vmx/entry_check.h"

namespace vmxscope::vmx {

/// A rule is plain code over known numbers: what is not known reads as 0 and leaves its mark, so that the rule counts
/// as undecided whatever its code makes of the 0.
class EntryContext {
  public:
    EntryContext(const VmcsImage& image, const Capabilities& capabilities, const MsrArea* area);

    std::uint64_t operator[](Field f) const {
        const Slot& slot = slots_[slot_of(f)];
        if (slot.state == Known::NotRead || slot.state == Known::Faulted)
            miss(static_cast<std::uint32_t>(f) | kMissingField);
        return slot.bits;
    }
    /// The processor, or the layout that the image is from, has no such field.
    bool lacks(Field f) const { return slots_[slot_of(f)].state == Known::Unsupported; }

    // Any of `mask` is set in the control. Secondary and tertiary controls that are not activated count as 0.
    bool pin(std::uint64_t mask) const { return control(pin_, mask); }
    bool proc(std::uint64_t mask) const { return control(proc_, mask); }
    bool secondary(std::uint64_t mask) const { return control(secondary_, mask); }
    bool tertiary(std::uint64_t mask) const { return control(tertiary_, mask); }
    bool exits(std::uint64_t mask) const { return control(exits_, mask); }
    bool exits2(std::uint64_t mask) const { return control(exits2_, mask); }
    bool entries(std::uint64_t mask) const { return control(entries_, mask); }

    bool ia32e() const { return entries(entries::kIa32eGuest); }
    bool unrestricted() const { return secondary(secondary::kUnrestrictedGuest); }
    bool virtual_8086() const { return (*this)[Field::GUEST_RFLAGS] & rflags::kVm; }
    /// IA-32e mode with CS.L.
    bool mode_64() const { return ia32e() && ((*this)[Field::GUEST_CS_AR_BYTES] & access_rights::kL); }
    /// An event of this type is injected.
    bool injects(std::uint64_t type) const {
        const std::uint64_t info = (*this)[Field::VM_ENTRY_INTR_INFO_FIELD];
        return (info & injection::kValid) && (info & injection::kType) >> 8 == type;
    }

    std::uint64_t msr(CapabilityMsr m) const {
        const Value& v = capabilities_[m];
        if (!v.known()) miss(static_cast<std::uint32_t>(m) | kMissingMsr);
        return v.bits;
    }
    static constexpr std::array kLimited = {Field::PIN_BASED_VM_EXEC_CONTROL,
                                            Field::CPU_BASED_VM_EXEC_CONTROL,
                                            Field::SECONDARY_VM_EXEC_CONTROL,
                                            Field::TERTIARY_VM_EXEC_CONTROL,
                                            Field::VM_EXIT_CONTROLS,
                                            Field::SECONDARY_VM_EXIT_CONTROLS,
                                            Field::VM_ENTRY_CONTROLS,
                                            Field::GUEST_CR0,
                                            Field::GUEST_CR4};
    /// What one of kLimited may hold; HOST_CR0 and HOST_CR4 have the guest's limits. Not known: anything, and it is
    /// noted.
    template <Field F>
    Allowed allowed_of() const {
        constexpr Field same = F == Field::HOST_CR0 ? Field::GUEST_CR0 : F == Field::HOST_CR4 ? Field::GUEST_CR4 : F;
        constexpr auto i =
            static_cast<std::size_t>(std::find(kLimited.begin(), kLimited.end(), same) - kLimited.begin());
        static_assert(i < kLimited.size());
        if (allowed_[i]) return *allowed_[i];
        miss(static_cast<std::uint32_t>(capability_msr_of(F)) | kMissingMsr);
        return {0, ~0ULL};
    }
    /// Bits of a control or control register that are 0 and have to be 1 (see vmx::allowed), without `exempt`.
    template <Field F>
    std::uint64_t lacking(std::uint64_t exempt = 0) const {
        return allowed_of<F>().must_one & ~exempt & ~(*this)[F];
    }
    /// Bits that are 1 and have to be 0.
    template <Field F>
    std::uint64_t excess() const {
        return (*this)[F] & ~allowed_of<F>().may_one;
    }

    /// The bits of a guest-physical or EPT address beyond the processor's width.
    std::uint64_t beyond_width(std::uint64_t address) const { return address & ~physical_mask_; }
    /// The same for an address in the VMCS: IA32_VMX_BASIC[48] limits those to 32 bits (SDM A.1).
    std::uint64_t beyond_vmx_width(std::uint64_t address) const {
        const bool narrow = msr(CapabilityMsr::Basic) & bit(48);
        return address & ~(narrow ? physical_mask_ & bits(31, 0) : physical_mask_);
    }
    bool canonical(std::uint64_t address) const {
        const unsigned unused = 64u - linear_bits_;
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << unused) >> unused) == address;
    }
    unsigned linear_bits() const { return linear_bits_; }
    unsigned maxphyaddr() const { return capabilities_.maxphyaddr; }

    /// The MSR-load area; nullptr, noted as missing, when nobody has read it.
    const MsrArea* area() const {
        if (!area_) miss(kMissingArea);
        return area_;
    }
    void miss(std::uint32_t what) const {
        if (!missing_) missing_ = what;
    }
    /// What was asked for and not known since the last forget(); 0: nothing. A field's encoding or an MSR's number with
    /// its mark, or one of the constants.
    std::uint32_t missing() const { return missing_; }
    void forget() const { missing_ = 0; }

    static constexpr std::uint32_t kMissingField = 1u << 16, kMissingMsr = 2u << 16, kMissingArea = 3u << 16,
                                   kMissingApicMode = 4u << 16;

  private:
    struct Slot {
        std::uint64_t bits;
        Known state;
    };
    struct Control {
        std::uint64_t bits = 0;
        std::uint32_t missing = 0;
    };

    /// Of an encoding: width, type and the low 6 bits of the index, which is more than any field's (SDM table 25-21).
    static constexpr std::size_t slot_of(Field f) {
        const auto e = static_cast<std::size_t>(f);
        return (e >> 13 & 3) << 8 | (e >> 10 & 3) << 6 | (e >> 1 & 0x3f);
    }
    bool control(const Control& c, std::uint64_t mask) const {
        if (c.missing) miss(c.missing);
        return c.bits & mask;
    }
    /// One of the MSRs that say what F may hold, to name in a sentence.
    static constexpr CapabilityMsr capability_msr_of(Field f) {
        switch (f) {
            case Field::PIN_BASED_VM_EXEC_CONTROL: return CapabilityMsr::PinbasedCtls;
            case Field::CPU_BASED_VM_EXEC_CONTROL: return CapabilityMsr::ProcbasedCtls;
            case Field::SECONDARY_VM_EXEC_CONTROL: return CapabilityMsr::ProcbasedCtls2;
            case Field::TERTIARY_VM_EXEC_CONTROL: return CapabilityMsr::ProcbasedCtls3;
            case Field::VM_EXIT_CONTROLS: return CapabilityMsr::ExitCtls;
            case Field::SECONDARY_VM_EXIT_CONTROLS: return CapabilityMsr::ExitCtls2;
            case Field::VM_ENTRY_CONTROLS: return CapabilityMsr::EntryCtls;
            case Field::GUEST_CR0:
            case Field::HOST_CR0: return CapabilityMsr::Cr0Fixed0;
            default: return CapabilityMsr::Cr4Fixed0;
        }
    }
    Control read_control(Field f) const;
    static Control activated(const Control& by, std::uint64_t bit, const Control& control);

    std::array<Slot, 1024> slots_;  // only those of fields are ever filled and read
    const Capabilities& capabilities_;
    const MsrArea* area_;
    std::uint64_t physical_mask_;
    unsigned linear_bits_;
    std::array<std::optional<Allowed>, kLimited.size()> allowed_;  // as kLimited
    Control pin_, proc_, secondary_, tertiary_, exits_, exits2_, entries_;
    mutable std::uint32_t missing_ = 0;
};

/// A field and the bits of it that a rule looks at.
struct FieldBits {
    Field field;
    std::uint64_t mask;
};
constexpr FieldBits of(Field f, std::uint64_t mask = ~0ULL) {
    return {f, mask};
}

/// What a rule looks at, in static storage.
template <FieldBits... B>
struct Subject {
    static constexpr std::array<Field, sizeof...(B)> fields{B.field...};
    static constexpr std::array<std::uint64_t, sizeof...(B)> masks{B.mask...};
};
template <FieldBits... B>
inline constexpr Subject<B...> on{};

/// A rule of one answer; each file of rules fixes its own.
template <Answer A, std::uint8_t Qualification = 0>
struct Rule : EntryRule {
    template <FieldBits... B>
    constexpr Rule(std::string_view rule_id, std::string_view rule_section, std::string_view rule_title, Subject<B...>,
                   std::uint64_t (*rule_fault)(const EntryContext&))
        : EntryRule{rule_id, rule_section,  rule_title, Subject<B...>::fields, Subject<B...>::masks,
                    A,       Qualification, rule_fault} {}
};

/// The fault of a rule that is not about single bits.
constexpr std::uint64_t unless(bool holds) {
    return holds ? 0 : ~0ULL;
}

/// Several tables as one, in static storage.
template <const auto&... Tables>
std::span<const EntryRule> joined() {
    static constexpr auto all = [] {
        std::array<EntryRule, (std::size(Tables) + ...)> rules{};
        std::size_t n = 0;
        (std::for_each(std::begin(Tables), std::end(Tables), [&](const EntryRule& r) { rules[n++] = r; }), ...);
        return rules;
    }();
    return all;
}

/// The rules of each area, in SDM order.
std::span<const EntryRule> execution_control_rules();
std::span<const EntryRule> exit_control_rules();
std::span<const EntryRule> entry_control_rules();
std::span<const EntryRule> host_rules();
std::span<const EntryRule> guest_register_rules();
std::span<const EntryRule> guest_segment_rules();
std::span<const EntryRule> guest_table_rules();  // GDTR, IDTR, RIP, RFLAGS, SSP
std::span<const EntryRule> guest_state_rules();  // what is no register, and the PDPTEs
std::span<const EntryRule> msr_rules();

}  // namespace vmxscope::vmx
