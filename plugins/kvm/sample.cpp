#include "plugins/kvm/sample.h"

#include <cstring>

namespace vmxscope::kvm {
namespace {

constexpr std::size_t round8(std::size_t n) { return (n + 7) & ~std::size_t{7}; }

/// Takes bytes off the front of a payload; `short_` when there were not enough.
struct Reader {
    std::span<const std::byte> left;
    bool ran_out = false;

    std::span<const std::byte> take(std::size_t n) {
        if (left.size() < n) {
            ran_out = true;
            return {};
        }
        const auto out = left.first(n);
        left = left.subspan(n);
        return out;
    }
};

std::uint64_t u64_at(std::span<const std::byte> bytes, std::size_t i) {
    std::uint64_t v;
    std::memcpy(&v, bytes.data() + 8 * i, sizeof v);
    return v;
}

vmx::VmcsImage image_of(std::span<const std::byte> values, std::span<const std::byte> statuses, const ProbePlan& plan) {
    vmx::VmcsImage image;
    for (std::size_t i = 0; i < statuses.size() && i < plan.fields.size(); ++i) {
        vmx::Value& v = image[static_cast<vmx::Field>(plan.fields[i])];
        switch (static_cast<unsigned>(statuses[i])) {
            case VMXSCOPE_FIELD_READ: v = vmx::Value::of(u64_at(values, i)); break;
            case VMXSCOPE_FIELD_UNSUPPORTED: v = vmx::Value::unsupported(); break;
            case VMXSCOPE_FIELD_FAULTED: v = vmx::Value::faulted(); break;
            default: break;
        }
    }
    return image;
}

}  // namespace

std::optional<std::uint64_t> Sample::number(StateMember m) const {
    const auto& bytes = state_[static_cast<std::size_t>(m)];
    if (!bytes || bytes->size() > 8) return std::nullopt;
    std::uint64_t v = 0;
    std::memcpy(&v, bytes->data(), bytes->size());
    return v;
}

std::optional<bool> Sample::flag(StateMember m) const {
    if (const auto v = number(m)) return *v != 0;
    return std::nullopt;
}

vmx::Value Sample::gpr(unsigned kvm_index) const {
    const auto& bytes = state_[static_cast<std::size_t>(StateMember::Regs)];
    if (!bytes || bytes->size() < 8 * (kvm_index + 1)) return {};
    return vmx::Value::of(u64_at(*bytes, kvm_index));
}

std::array<vmx::Value, 4> Sample::cached_pdptrs() const {
    std::array<vmx::Value, 4> out{};
    const auto& bytes = state_[static_cast<std::size_t>(StateMember::CachedPdptrs)];
    for (std::size_t i = 0; bytes && i < 4 && bytes->size() >= 8 * (i + 1); ++i) out[i] = vmx::Value::of(u64_at(*bytes, i));
    return out;
}

core::Result<Sample> decode_sample(const RawRecord& record, const ProbePlan& plan) {
    const vmxscope_record& h = record.header;
    if (h.hook >= plan.hooks.size()) return core::fail("A record names a hook that was never placed.");
    const vmxscope_hook& hook = plan.hooks[h.hook];
    Sample out;
    out.role = plan.meaning[h.hook].role;
    out.slot = h.slot;
    out.tid = h.tid;
    out.tsc = h.tsc;
    out.lost = h.lost;
    out.level2 = h.flags & VMXSCOPE_REC_LEVEL2;
    out.identified = h.flags & VMXSCOPE_REC_IDENTIFIED;
    for (std::size_t i = 0; i < out.registers.size(); ++i) out.registers[i] = h.regs[i];

    Reader payload{record.payload};
    for (std::size_t i = 0; i < plan.mems.size(); ++i) {
        if (!(plan.mems[i].groups & hook.mem_groups)) continue;
        const auto status = payload.take(8);
        const auto bytes = payload.take(round8(plan.mems[i].size));
        if (payload.ran_out || u64_at(status, 0) != 0) continue;
        const auto exact = bytes.first(plan.mems[i].size);
        if (plan.mem_members[i] == StateMember::Vmcs12)
            out.vmcs12 = nested::vmcs12_image(exact);
        else
            out.state_[static_cast<std::size_t>(plan.mem_members[i])].emplace(exact.begin(), exact.end());
    }
    if (hook.flags & VMXSCOPE_HOOK_IMAGE) {
        const std::size_t n = h.nr_fields;
        const auto values = payload.take(8 * n);
        const auto statuses = payload.take(round8(n));
        if (!payload.ran_out && out.identified) out.vmcs = image_of(values, statuses.first(n), plan);
    }
    const auto available = out.number(StateMember::RegsAvail);
    if (available && plan.pdptr_cache_bit && !((*available >> *plan.pdptr_cache_bit) & 1))
        out.state_[static_cast<std::size_t>(StateMember::CachedPdptrs)].reset();
    if (payload.ran_out || !payload.left.empty() || h.nr_fields > plan.fields.size())
        return core::fail("A record of the module has not the shape that was asked for.");
    return out;
}

}  // namespace vmxscope::kvm
