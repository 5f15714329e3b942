#include "plugins/kvm/sample.h"

#include <algorithm>
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

vmx::VmcsImage image_of(std::span<const std::byte> values, std::span<const std::byte> statuses, std::size_t first, const ProbePlan& plan) {
    vmx::VmcsImage image;
    for (std::size_t i = 0; i < statuses.size(); ++i)
        image[static_cast<vmx::Field>(plan.fields[first + i])] = value_of(static_cast<std::uint8_t>(statuses[i]), u64_at(values, i));
    return image;
}

}  // namespace

vmx::Value value_of(std::uint8_t status, std::uint64_t bits) {
    switch (status) {
        case VMXSCOPE_FIELD_READ: return vmx::Value::of(bits);
        case VMXSCOPE_FIELD_UNSUPPORTED: return vmx::Value::unsupported();
        case VMXSCOPE_FIELD_FAULTED: return vmx::Value::faulted();
        default: return {};
    }
}

void Sample::set(StateMember m, std::span<const std::byte> bytes) {
    const auto at = static_cast<std::size_t>(m);
    const auto take = [&](auto& to) {
        std::memcpy(to.data(), bytes.data(), std::min(bytes.size(), sizeof to));
        has_.set(at, bytes.size() >= sizeof to);
    };
    if (m == StateMember::Regs) return take(gprs_);
    if (m == StateMember::CachedPdptrs) return take(pdptrs_);
    if (bytes.size() > sizeof(std::uint64_t)) return;
    numbers_[at] = 0;
    std::memcpy(&numbers_[at], bytes.data(), bytes.size());
    has_.set(at);
}

void Sample::drop_stale_pdptrs(const ProbePlan& plan) {
    const auto available = number(StateMember::RegsAvail);
    if (available && plan.pdptr_cache_bit && !((*available >> *plan.pdptr_cache_bit) & 1))
        has_.reset(static_cast<std::size_t>(StateMember::CachedPdptrs));
}

void Sample::fill_from(const Sample& earlier) {
    for (std::size_t i = 0; i < kMembers; ++i) {
        if (has_[i] || !earlier.has_[i]) continue;
        has_.set(i);
        numbers_[i] = earlier.numbers_[i];
        if (i == static_cast<std::size_t>(StateMember::Regs)) gprs_ = earlier.gprs_;
        if (i == static_cast<std::size_t>(StateMember::CachedPdptrs)) pdptrs_ = earlier.pdptrs_;
    }
}

std::optional<std::uint64_t> Sample::number(StateMember m) const {
    const auto at = static_cast<std::size_t>(m);
    if (!has_[at] || m == StateMember::Regs || m == StateMember::CachedPdptrs) return std::nullopt;
    return numbers_[at];
}

std::optional<bool> Sample::flag(StateMember m) const {
    if (const auto v = number(m)) return *v != 0;
    return std::nullopt;
}

vmx::Value Sample::gpr(unsigned kvm_index) const {
    if (!has_[static_cast<std::size_t>(StateMember::Regs)] || kvm_index >= gprs_.size()) return {};
    return vmx::Value::of(gprs_[kvm_index]);
}

std::array<vmx::Value, 4> Sample::cached_pdptrs() const {
    std::array<vmx::Value, 4> out{};
    if (has_[static_cast<std::size_t>(StateMember::CachedPdptrs)])
        for (std::size_t i = 0; i < out.size(); ++i) out[i] = vmx::Value::of(pdptrs_[i]);
    return out;
}

Sample begin_sample(const vmxscope_record& h, Role role) {
    Sample out;
    out.role = role;
    out.slot = h.slot;
    out.tid = h.tid;
    out.tsc = h.tsc;
    out.lost = h.lost;
    out.level2 = h.flags & VMXSCOPE_REC_LEVEL2;
    out.identified = h.flags & VMXSCOPE_REC_IDENTIFIED;
    for (std::size_t i = 0; i < out.registers.size(); ++i) out.registers[i] = h.regs[i];
    return out;
}

core::Result<Sample> decode_sample(const RawRecord& record, const ProbePlan& plan) {
    const vmxscope_record& h = record.header;
    if (h.hook >= plan.hooks.size()) return core::fail("A record names a hook that was never placed.");
    const vmxscope_hook& hook = plan.hooks[h.hook];
    Sample out = begin_sample(h, plan.meaning[h.hook].role);
    const std::uint32_t groups = out.level2 ? hook.groups_l2 : hook.groups_l1;

    Reader payload{record.payload};
    for (std::size_t i = 0; i < plan.mems.size(); ++i) {
        if (!(plan.mems[i].groups & groups)) continue;
        const auto status = payload.take(8);
        const auto bytes = payload.take(round8(plan.mems[i].size));
        if (payload.ran_out || u64_at(status, 0) != 0) continue;
        const auto exact = bytes.first(plan.mems[i].size);
        if (plan.mem_members[i] == StateMember::Vmcs12)
            out.vmcs12 = nested::vmcs12_image(exact);
        else
            out.set(plan.mem_members[i], exact);
    }
    if (hook.flags & VMXSCOPE_HOOK_IMAGE) {
        const std::size_t n = h.nr;
        const auto values = payload.take(8 * n);
        const auto statuses = payload.take(round8(n));
        if (h.first + n > plan.fields.size()) return core::fail("A record of the module has fields that were not asked for.");
        if (!payload.ran_out && out.identified) out.vmcs = image_of(values, statuses.first(n), h.first, plan);
    }
    out.drop_stale_pdptrs(plan);
    if (payload.ran_out || !payload.left.empty()) return core::fail("A record of the module has not the shape that was asked for.");
    return out;
}

}  // namespace vmxscope::kvm
