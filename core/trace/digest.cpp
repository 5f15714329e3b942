#include "core/trace/digest.h"

#include <algorithm>
#include <limits>

#include "nested/routing.h"

namespace vmxscope::core::trace {
namespace {

template <typename To>
To saturated(std::uint64_t n) {
    return static_cast<To>(std::min<std::uint64_t>(n, std::numeric_limits<To>::max()));
}

}  // namespace

Digest digest_of(const nested::Transition& t) {
    Digest d;
    d.seq = t.seq;
    d.tsc = t.tsc;
    d.vcpu = t.vcpu;
    d.kind = t.kind;
    d.has_reason = t.exit.reason.known();
    if (d.has_reason) d.reason = static_cast<std::uint32_t>(t.exit.reason.bits);
    d.lost_before = saturated<std::uint32_t>(t.lost_before);
    if (const auto v = nested::pdptr_verdict(t)) {
        d.has_verdict = true;
        d.did = v->did;
        d.by_rule = v->by_rule;
        d.by_evidence = v->by_evidence;
        d.vmcs12 = v->vmcs12;
        d.vmcs02 = v->vmcs02;
        d.used = v->used ? *v->used : 2;
        d.alarm = v->alarm;
        d.agree = v->agree;
        d.findings = saturated<std::uint8_t>(nested::flow_of(t).findings.size());
    }
    if (const auto r = nested::routing_of(t)) d.routing = static_cast<std::uint8_t>(r->who);
    return d;
}

}  // namespace vmxscope::core::trace
