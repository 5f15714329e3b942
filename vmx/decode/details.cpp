#include "vmx/decode/details.h"

#include <fmt/format.h>

#include "vmx/bits.h"
#include "vmx/controls.h"
#include "vmx/decode/exit_layouts.h"
#include "vmx/decode/field_layouts.h"
#include "vmx/decode/words.h"
#include "vmx/exit_reason.h"
#include "vmx/pdpte.h"

namespace vmxscope::vmx {
namespace {

std::optional<std::uint64_t> known(const VmcsImage* image, Field field) {
    if (!image || !(*image)[field].known()) return std::nullopt;
    return (*image)[field].bits;
}

std::optional<std::uint16_t> reason_in(const VmcsImage* image) {
    const auto reason = known(image, Field::VM_EXIT_REASON);
    if (!reason) return std::nullopt;
    return basic_exit_reason(static_cast<std::uint32_t>(*reason));
}

/// The event that an error code belongs to, if the image has a valid one that pushes an error code.
const Layout* error_layout(Field field, const VmcsImage* image) {
    const Field event = field == Field::VM_ENTRY_EXCEPTION_ERROR_CODE ? Field::VM_ENTRY_INTR_INFO_FIELD
                        : field == Field::VM_EXIT_INTR_ERROR_CODE     ? Field::VM_EXIT_INTR_INFO
                                                                      : Field::IDT_VECTORING_INFO_FIELD;
    const auto info = known(image, event);
    constexpr std::uint64_t kValid = 1ULL << 31, kHasCode = 1ULL << 11;
    if (!info || (*info & (kValid | kHasCode)) != (kValid | kHasCode)) return nullptr;
    return error_code_layout(*info & 0xff);
}

/// The layout of a field whose meaning hangs on others; null when they are not known or give it none.
const Layout* layout_in_context(Field field, const VmcsImage* image) {
    switch (field) {
        case Field::EXIT_QUALIFICATION: {
            const auto reason = reason_in(image);
            return reason ? qualification_layout(*reason, known(image, Field::VM_EXIT_INTR_INFO)) : nullptr;
        }
        case Field::VMX_INSTRUCTION_INFO: {
            const auto reason = reason_in(image);
            return reason ? instruction_layout(*reason) : nullptr;
        }
        case Field::VM_ENTRY_EXCEPTION_ERROR_CODE:
        case Field::VM_EXIT_INTR_ERROR_CODE:
        case Field::IDT_VECTORING_ERROR_CODE: return error_layout(field, image);
        default: return layout_of(field);
    }
}

std::string_view allowance(const Allowed& allowed, std::uint64_t bit) {
    return allowed.must_one & bit ? "must be 1" : allowed.may_one & bit ? "may be either" : "must be 0";
}

void append(std::string& text, std::string_view more) {
    if (!more.empty()) text += fmt::format("{}{}", text.empty() ? "" : "; ", more);
}

/// allowed(), but that CR0.PE and CR0.PG of an unrestricted guest may be 0 (SDM 24.8).
std::optional<Allowed> allowed_in(Field field, const VmcsImage* context, const Capabilities* caps) {
    auto permitted = caps ? allowed(field, *caps) : std::nullopt;
    if (!permitted || field != Field::GUEST_CR0) return permitted;
    const auto first = known(context, Field::CPU_BASED_VM_EXEC_CONTROL);
    const auto second = known(context, Field::SECONDARY_VM_EXEC_CONTROL);
    if (first && second && (*first & kCpuActivateSecondary) && (*second & secondary::kUnrestrictedGuest))
        permitted->must_one &= ~(cr0::kPe | cr0::kPg);
    return permitted;
}

/// Every named bit; of the others those that are set.
std::vector<Detail> flag_rows(Field field, std::uint64_t value, const VmcsImage* context, const Capabilities* caps) {
    const auto permitted = allowed_in(field, context, caps);
    std::vector<Detail> rows;
    std::uint64_t unnamed = value;
    const auto add = [&](unsigned number, std::string_view name, std::string_view meaning) {
        const std::uint64_t mask = 1ULL << number;
        std::string text(meaning);
        if (permitted) append(text, allowance(*permitted, mask));
        if (permitted && ((permitted->must_one & mask & ~value) || (mask & value & ~permitted->may_one)))
            append(text, "NOT as the processor wants it");
        rows.push_back(
            {fmt::format("{}{}[{}]", name, name.empty() ? "" : " ", number), value & mask ? "1" : "0", text});
    };
    for (const BitName& b : bits_of(field)) {
        add(b.bit, b.name, b.meaning);
        unnamed &= ~(1ULL << b.bit);
    }
    for (unsigned number = 0; number < 64; ++number)
        if ((unnamed >> number) & 1) add(number, "", "reserved, or without a name");
    return rows;
}

std::vector<Detail> reason_rows(std::uint64_t value) {
    const auto reason = static_cast<std::uint32_t>(value);
    std::vector<Detail> rows = {
        {"basic reason [15:0]", fmt::format("{}", basic_exit_reason(reason)), std::string(exit_reason_name(reason))}};
    for (const BitName& flag : exit_reason_flags())
        rows.push_back({fmt::format("{} [{}]", flag.name, flag.bit), (reason >> flag.bit) & 1 ? "1" : "0",
                        std::string(flag.meaning)});
    return rows;
}

std::vector<Detail> pdpte_rows(std::uint64_t value, const Capabilities* caps) {
    const Pdpte p = decode_pdpte(value, caps ? caps->maxphyaddr : 52);
    std::vector<Detail> rows = {{"P [0]", p.present ? "1" : "0", p.present ? "present" : "not present"},
                                {"PWT [3]", p.write_through ? "1" : "0", "write-through"},
                                {"PCD [4]", p.cache_disable ? "1" : "0", "cache disable"},
                                {"address", fmt::format("{:#x}", p.address), "of the page directory"},
                                {"ignored [11:9]", fmt::format("{:#x}", p.ignored), ""}};
    if (p.reserved)
        rows.push_back({"reserved bits", fmt::format("{:#x}", p.reserved),
                        p.present ? "set: VM-entry fails on this entry" : "set, but the entry is not present"});
    return rows;
}

/// CR3 of the guest or the host: what its low bits are depends on CR4.PCIDE (SDM Vol. 3A 4.5.2).
std::vector<Detail> cr3_rows(Field field, std::uint64_t value, const VmcsImage* context) {
    const auto cr4 = known(context, field == Field::GUEST_CR3 ? Field::GUEST_CR4 : Field::HOST_CR4);
    const auto cr0 = known(context, field == Field::GUEST_CR3 ? Field::GUEST_CR0 : Field::HOST_CR0);
    if (!cr4 || !cr0) return {};
    if (!(*cr0 & kCr0Pg)) return {{"CR3", fmt::format("{:#x}", value), "not used: paging is off"}};
    std::vector<Detail> rows = {{"table", fmt::format("{:#x}", value & 0x000ffffffffff000), ""}};
    constexpr std::uint64_t kPcide = 1u << 17;
    if (*cr4 & kPcide) {
        rows.push_back({"PCID [11:0]", fmt::format("{}", value & 0xfff), "process-context identifier"});
    } else {
        rows.push_back({"PWT [3]", (value >> 3) & 1 ? "1" : "0", "write-through"});
        rows.push_back({"PCD [4]", (value >> 4) & 1 ? "1" : "0", "cache disable"});
    }
    if (value >> 61) rows.push_back({"LAM [62:61]", fmt::format("{}", (value >> 61) & 3), "1 or 3: LAM57, 2: LAM48"});
    return rows;
}

/// The timer counts at the rate of bit IA32_VMX_MISC[4:0] of the TSC (SDM 25.5.1).
std::vector<Detail> timer_rows(std::uint64_t value, const Capabilities* caps) {
    if (!caps || !(*caps)[CapabilityMsr::Misc].known()) return {};
    const unsigned shift = (*caps)[CapabilityMsr::Misc].bits & 31;
    return {{"ticks", fmt::format("{}", value), fmt::format("of {} TSC cycles each", 1ULL << shift)},
            {"TSC cycles", fmt::format("{}", (value & 0xffffffff) << shift), "until the exit"}};
}

std::optional<Field> controls_of(CapabilityMsr msr) {
    switch (msr) {
        case CapabilityMsr::PinbasedCtls:
        case CapabilityMsr::TruePinbasedCtls: return Field::PIN_BASED_VM_EXEC_CONTROL;
        case CapabilityMsr::ProcbasedCtls:
        case CapabilityMsr::TrueProcbasedCtls: return Field::CPU_BASED_VM_EXEC_CONTROL;
        case CapabilityMsr::ProcbasedCtls2: return Field::SECONDARY_VM_EXEC_CONTROL;
        case CapabilityMsr::ProcbasedCtls3: return Field::TERTIARY_VM_EXEC_CONTROL;
        case CapabilityMsr::ExitCtls:
        case CapabilityMsr::TrueExitCtls: return Field::VM_EXIT_CONTROLS;
        case CapabilityMsr::ExitCtls2: return Field::SECONDARY_VM_EXIT_CONTROLS;
        case CapabilityMsr::EntryCtls:
        case CapabilityMsr::TrueEntryCtls: return Field::VM_ENTRY_CONTROLS;
        case CapabilityMsr::Cr0Fixed0:
        case CapabilityMsr::Cr0Fixed1: return Field::GUEST_CR0;
        case CapabilityMsr::Cr4Fixed0:
        case CapabilityMsr::Cr4Fixed1: return Field::GUEST_CR4;
        default: return std::nullopt;
    }
}

/// What one MSR alone says of a bit that it governs.
std::string_view setting_in(CapabilityMsr msr, std::uint64_t value, unsigned bit) {
    const bool one = (value >> bit) & 1;
    switch (msr) {
        case CapabilityMsr::Cr0Fixed0:
        case CapabilityMsr::Cr4Fixed0: return one ? "must be 1" : "may be 0";
        case CapabilityMsr::Cr0Fixed1:
        case CapabilityMsr::Cr4Fixed1:
        case CapabilityMsr::ProcbasedCtls3:
        case CapabilityMsr::ExitCtls2: return one ? "may be 1" : "must be 0";
        default: return bit >= 32 ? "" : allowance({value & 0xffffffff, value >> 32}, 1ULL << bit);
    }
}

}  // namespace

std::vector<Detail> details(Field field, std::uint64_t value, const VmcsImage* context, const Capabilities* caps) {
    if (!bits_of(field).empty()) return flag_rows(field, value, context, caps);
    if (const Layout* layout = layout_in_context(field, context)) return rows(*layout, value);
    switch (field) {
        case Field::VM_EXIT_REASON: return reason_rows(value);
        case Field::GUEST_PDPTR0:
        case Field::GUEST_PDPTR1:
        case Field::GUEST_PDPTR2:
        case Field::GUEST_PDPTR3: return pdpte_rows(value, caps);
        case Field::GUEST_CR3:
        case Field::HOST_CR3: return cr3_rows(field, value, context);
        case Field::VMX_PREEMPTION_TIMER_VALUE: return timer_rows(value, caps);
        default: break;
    }
    const std::string words = context ? describe(field, value, *context) : describe(field, value);
    if (words.empty()) return {};
    return {{std::string(name_of(field)), fmt::format("{:#x}", value), words}};
}

std::vector<Detail> details(CapabilityMsr msr, std::uint64_t value) {
    if (const Layout* layout = layout_of(msr)) return rows(*layout, value);
    std::vector<Detail> all;
    const auto controls = controls_of(msr);
    if (!controls) return all;
    for (const BitName& b : bits_of(*controls))
        if (const std::string_view setting = setting_in(msr, value, b.bit); !setting.empty())
            all.push_back({fmt::format("{} [{}]", b.name, b.bit), std::string(setting), std::string(b.meaning)});
    return all;
}

std::string describe(Field field, std::uint64_t value, const VmcsImage& context) {
    if (field == Field::EXIT_QUALIFICATION) {
        const auto reason = reason_in(&context);
        return reason ? describe_qualification(*reason, value, known(&context, Field::VM_EXIT_INTR_INFO)) : "";
    }
    if (!layout_of(field))
        if (const Layout* layout = layout_in_context(field, &context)) return text(*layout, value);
    return describe(field, value);
}

}  // namespace vmxscope::vmx
