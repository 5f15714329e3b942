#include "nested/pdptr_evidence.h"

#include <algorithm>
#include <iterator>
#include <span>

#include <fmt/format.h>

#include "vmx/bits.h"
#include "vmx/pdpte.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::kPdptrFields;
using vmx::Value;

// Where KVM's source has the accesses. A compiler may append ".constprop.0" or the like, and inline a function into its
// caller: whatever writes but is neither the early copy nor the flush is the late copy, wherever it was inlined.
constexpr std::string_view kEarlyCopy[] = {"prepare_vmcs02_rare", "prepare_vmcs02_full"};
constexpr std::string_view kFlush[] = {"vmx_ept_load_pdptrs", "ept_load_pdptrs", "vmx_load_mmu_pgd", "vmx_set_cr3"};
constexpr std::string_view kExitSync[] = {"sync_vmcs02_to_vmcs12", "sync_vmcs12", "prepare_vmcs12", "nested_vmx_vmexit",
                                          "__nested_vmx_vmexit"};

bool in_one_of(std::string_view at, std::span<const std::string_view> functions) {
    return std::any_of(functions.begin(), functions.end(), [at](std::string_view f) { return at.starts_with(f); });
}

/// 0-3 for a PDPTR's encoding.
std::optional<std::size_t> pdptr_index(std::uint16_t encoding) {
    for (std::size_t i = 0; i < kPdptrFields.size(); ++i)
        if (static_cast<std::uint16_t>(kPdptrFields[i]) == encoding) return i;
    return std::nullopt;
}

/// The last access seen of each of the four fields.
struct Accesses {
    std::array<Value, 4> last{};
    std::array<bool, 4> seen{};
    std::size_t count() const { return static_cast<std::size_t>(std::count(seen.begin(), seen.end(), true)); }
    void add(std::size_t index, const Value& value) {
        last[index] = value;
        seen[index] = true;
    }
    /// The first field whose value in `image` is known to differ from the last access seen.
    std::optional<Field> contradicted_by(const vmx::VmcsImage& image) const {
        for (std::size_t i = 0; i < 4; ++i) {
            const Value& now = image[kPdptrFields[i]];
            if (seen[i] && last[i].known() && now.known() && now.bits != last[i].bits) return kPdptrFields[i];
        }
        return std::nullopt;
    }
};

std::optional<Field> changed_pdptr(const vmx::VmcsImage& before, const vmx::VmcsImage& after) {
    for (const Field f : kPdptrFields)
        if (before[f].known() && after[f].known() && before[f].bits != after[f].bits) return f;
    return std::nullopt;
}

Observed unknown(Observed o, std::string why) {
    o.did = Did::Unknown;
    o.why_unknown = std::move(why);
    return o;
}

/// Empty when every VMREAD and VMWRITE of the PDPTRs would have been seen.
std::string evidence_gap(const Transition& t) {
    if (t.lost_before > 0) return fmt::format("{} records were lost just before", t.lost_before);
    for (const std::string& note : t.notes)
        if (note.starts_with(kEvidenceIncomplete)) return "not every instruction could be probed";
    return "";
}

Observed observe_entry(const Transition& t) {
    Observed o;
    // Only an image read at this very entry is the one that the processor is given.
    const vmx::VmcsImage now = t.vmcs02_as_of == t.seq ? t.vmcs02_after : vmx::VmcsImage{};
    o.hw_uses = loads_pdpte_fields(now);
    Accesses writes;
    for (const Evidence& e : t.evidence) {
        const auto index = pdptr_index(e.encoding);
        if (e.op != Evidence::Op::Vmwrite || !index || !e.vmcs02) continue;
        writes.add(*index, e.value);
        const bool early = in_one_of(e.at, kEarlyCopy), flush = in_one_of(e.at, kFlush);
        o.early |= early;
        o.flush |= flush;
        o.late |= !early && !flush;
    }
    if (std::string gap = evidence_gap(t); !gap.empty()) return unknown(o, std::move(gap));
    if (writes.count() == 0) {
        if (const auto f = changed_pdptr(t.vmcs02_before, now))
            return unknown(o, fmt::format("{} of vmcs02 changed and no VMWRITE of it was seen", name_of(*f)));
        o.did = Did::Skipped;
        return o;
    }
    if (writes.count() < 4) return unknown(o, fmt::format("only {} of the 4 fields were seen written", writes.count()));
    if (const auto f = writes.contradicted_by(now))
        return unknown(o, fmt::format("{} of vmcs02 does not hold what was last seen written", name_of(*f)));
    if (t.kind == Kind::NestedEntryFailed) {
        o.did = Did::CopiedUnused;
    } else if (o.flush) {
        // The cache holds what load_pdptrs read from memory, or what KVM_SET_SREGS2 put there before a first entry.
        const bool userspace = t.context.pdptrs_from_userspace == true && t.context.from_vmentry == false;
        o.did = userspace ? Did::FromUserspace : Did::FromMemory;
    } else if (o.hw_uses) {
        o.did = *o.hw_uses ? Did::Copied : Did::CopiedUnused;
    } else {
        return unknown(o, "the fields were written, but vmcs02's controls were not read");
    }
    return o;
}

Observed observe_exit(const Transition& t) {
    Observed o;
    Accesses reads;
    for (const Evidence& e : t.evidence)
        if (const auto index = pdptr_index(e.encoding);
            index && e.op == Evidence::Op::Vmread && e.vmcs02 && in_one_of(e.at, kExitSync))
            reads.add(*index, e.value);
    if (std::string gap = evidence_gap(t); !gap.empty()) return unknown(o, std::move(gap));
    if (reads.count() == 0) {
        if (const auto f = changed_pdptr(t.vmcs12_before, t.vmcs12_after))
            return unknown(o, fmt::format("{} of vmcs12 changed and no VMREAD of vmcs02's was seen", name_of(*f)));
        o.did = Did::Skipped;
        return o;
    }
    if (reads.count() < 4) return unknown(o, fmt::format("only {} of the 4 fields were seen read", reads.count()));
    if (const auto f = reads.contradicted_by(t.vmcs12_after))
        return unknown(o, fmt::format("{} of vmcs12 does not hold what was seen read from vmcs02", name_of(*f)));
    o.did = Did::Copied;
    return o;
}

}  // namespace

std::optional<bool> loads_pdpte_fields(const vmx::VmcsImage& vmcs) {
    struct Needed {
        Field field;
        std::uint64_t bit;
        bool set;
    };
    constexpr Needed kNeeded[] = {
        {Field::CPU_BASED_VM_EXEC_CONTROL, vmx::kCpuActivateSecondary, true},
        {Field::SECONDARY_VM_EXEC_CONTROL, vmx::kSecondaryEnableEpt, true},
        {Field::GUEST_CR0, vmx::kCr0Pg, true},
        {Field::GUEST_CR4, vmx::kCr4Pae, true},
        {Field::VM_ENTRY_CONTROLS, vmx::kEntryIa32eMode, false},
    };
    bool all_known = true;
    for (const Needed& n : kNeeded) {
        const Value& v = vmcs[n.field];
        if (!v.known())
            all_known = false;
        else if (((v.bits & n.bit) != 0) != n.set)
            return false;
    }
    return all_known ? std::optional(true) : std::nullopt;
}

Observed observe_pdptrs(const Transition& t, Direction direction) {
    return direction == Direction::Entry ? observe_entry(t) : observe_exit(t);
}

}  // namespace vmxscope::nested
