#include "plugins/kvm/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iterator>

#include "nested/vmcs12.h"

namespace vmxscope::kvm {
namespace {

using core::Result;
using core::WrittenVmcs;
using vmx::Field;
using vmx::Group;

constexpr std::size_t kMostWrites = 100'000;  // of one session: then the ledger is full, and no more is written

std::vector<std::byte> bytes_of(std::uint64_t value, unsigned size) {
    std::vector<std::byte> out(size);
    for (unsigned i = 0; i < size; ++i) out[i] = static_cast<std::byte>(value >> (8 * i));
    return out;
}

bool injects(Field f) {
    return f == Field::VM_ENTRY_INTR_INFO_FIELD || f == Field::VM_ENTRY_EXCEPTION_ERROR_CODE ||
           f == Field::VM_ENTRY_INSTRUCTION_LEN;
}

}  // namespace

Result<void> may_write(WrittenVmcs which, Field field, int level) {
    const Group group = vmx::all_fields()[*vmx::index_of(field)].group;
    const std::string_view name = vmx::name_of(field);
    if (which == WrittenVmcs::Vmcs02) {
        if (level != 2)
            return core::fail("vmcs02 is not loaded: L1 is about to run.", "Step to a nested-entry, or an l2-exit that L0 keeps.");
        const bool guests = group == Group::GuestState && field != Field::VMCS_LINK_POINTER && field != Field::GUEST_PML_INDEX;
        if (guests || injects(field)) return {};
        return core::fail(fmt::format("{} of vmcs02 is not written: it is L0's own, and could take the host with it.", name),
                          "Guest-state fields can be, and what an entry injects.");
    }
    if (!nested::vmcs12_offset(field)) return core::fail(fmt::format("vmcs12 has no {}.", name));
    if (level == 1 || group == Group::GuestState || group == Group::ExitInformation) return {};
    return core::fail(fmt::format("{} of vmcs12 is not written while L2 runs: KVM has checked it, and trusts it until the next entry.", name),
                      "Step to a nested-exit first.");
}

/// Fails where what was read back is not what was wanted; it is in the ledger all the same.
Result<void> Writer::enter(core::Write write) {
    write.number = ledger_.size() + 1;
    write.unix_time = static_cast<std::uint64_t>(std::time(nullptr));
    ledger_.push_back(std::move(write));
    const core::Write& w = ledger_.back();
    if (w.after == w.wanted) return {};
    return core::fail(fmt::format("{} was written, and something else was read back (write {} of the ledger).", w.what, w.number));
}

Result<void> Writer::field(std::uint32_t vcpu, std::uint32_t slot, std::uint64_t seq, int level, WrittenVmcs which, Field field,
                           std::uint64_t value) {
    if (const auto ok = may_write(which, field, level); !ok) return ok;
    if (ledger_.size() >= kMostWrites) return core::fail("The ledger is full.", "Attach anew to write more.");
    const unsigned size = vmx::bytes_of(field);
    if (size < 8 && value >> (8 * size))
        return core::fail(fmt::format("{:#x} does not fit {}, which is {} bits wide.", value, vmx::name_of(field), 8 * size));
    vmxscope_write w{};
    w.slot = slot;
    w.value = value;
    if (which == WrittenVmcs::Vmcs02) {
        w.what = VMXSCOPE_WRITE_FIELD;
        w.field = static_cast<std::uint32_t>(field);
    } else {
        const auto writable = std::find_if(plan_.mems.begin(), plan_.mems.end(),
                                           [](const vmxscope_mem& m) { return m.flags & VMXSCOPE_MEM_WRITABLE; });
        w.what = VMXSCOPE_WRITE_MEM;
        w.mem = static_cast<std::uint32_t>(writable - plan_.mems.begin());
        w.offset = static_cast<std::uint32_t>(*nested::vmcs12_offset(field));
        w.size = size;
    }
    const std::string what = fmt::format("{} {}", name_of(which), vmx::name_of(field));
    if (const auto ok = device_.write(w); !ok) return core::fail(fmt::format("{} could not be written: {}", what, ok.error().what), ok.error().remedy);
    return enter({0, 0, vcpu, seq, what, bytes_of(w.before, size), bytes_of(value, size), bytes_of(w.after, size)});
}

Result<void> Writer::memory(std::uint32_t vcpu, std::uint64_t seq, const Inspector& inspector, const HeldVcpu& held, core::Space space,
                            std::uint64_t address, const std::vector<std::byte>& bytes) {
    if (bytes.empty()) return {};
    if (ledger_.size() >= kMostWrites) return core::fail("The ledger is full.", "Attach anew to write more.");
    const auto before = inspector.read_memory(held, space, address, bytes.size());
    if (!before) return tl::unexpected(before.error());
    if (const auto ok = inspector.write_memory(held, space, address, bytes); !ok) return ok;
    const auto after = inspector.read_memory(held, space, address, bytes.size());
    return enter({0, 0, vcpu, seq, fmt::format("{} {:#x}", name_of(space), address), *before, bytes,
                  after.value_or(std::vector<std::byte>{})});
}

}  // namespace vmxscope::kvm
