#include "nested/lineage.h"

#include "nested/flow.h"
#include "vmx/exit_reason.h"
#include "vmx/saved_state.h"

namespace vmxscope::nested {
namespace {

bool differ(const vmx::Value& a, const vmx::Value& b) {
    return a.known() && b.known() && a.bits != b.bits;
}

}  // namespace

void Lineage::forget() {
    vmcs12_.fill(0);
    vmcs02_.fill(0);
}

bool Lineage::leads_to(const Transition& t) const {
    return newest_ != 0 && newest_ < t.seq && t.lost_before == 0 &&
           (!vmptr_ || !t.context.current_vmptr || *vmptr_ == *t.context.current_vmptr);
}

void Lineage::take(const Transition& t) {
    if (t.seq <= newest_) return;
    if (newest_ != 0 && !leads_to(t)) forget();
    newest_ = t.seq;
    if (t.context.current_vmptr) vmptr_ = t.context.current_vmptr;

    const auto direction = direction_of(t.kind);
    const Situation situation(t);
    const auto rules = flow_rules();
    const bool saved = t.kind == Kind::L2Exit && t.context.vmx_fail != true &&
                       !vmx::entry_failed(static_cast<std::uint32_t>(t.exit.reason.bits));
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const bool written = direction == Direction::Entry && entry_moves(rules[i], situation, t) == true;
        const bool given = direction == Direction::Exit && exit_moves(rules[i], situation) == true;
        if (written || (saved && vmx::saved_at_exit(rules[i].field, t.vmcs02_after) == true) ||
            differ(t.vmcs02_before.at_index(i), t.vmcs02_after.at_index(i)))
            vmcs02_[i] = t.seq;
        if (given || differ(t.vmcs12_before.at_index(i), t.vmcs12_after.at_index(i))) vmcs12_[i] = t.seq;
    }
}

}  // namespace vmxscope::nested
