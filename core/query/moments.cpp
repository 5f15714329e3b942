#include "core/query/moments.h"

namespace vmxscope::core::query {

using nested::Kind;

Moments::Vcpu& Moments::of(std::uint32_t vcpu) {
    if (!newest_vcpu_ || newest_id_ != vcpu) {
        newest_vcpu_ = &vcpus_[vcpu];
        newest_id_ = vcpu;
    }
    return *newest_vcpu_;
}

void Moments::forget(Vcpu& v) {
    interrupted_ += v.hardware_exit || v.entry;
    v.hardware_exit = v.entry = v.l2_exit = std::nullopt;
}

Durations Moments::take(const trace::Digest& d) {
    if (newest_seq_ != 0 && d.seq != newest_seq_ + 1)
        for (auto& [id, v] : vcpus_) forget(v);
    newest_seq_ = d.seq;
    Vcpu& v = of(d.vcpu);
    if (d.lost_before > 0 || d.tsc < v.newest) forget(v);
    v.newest = d.tsc;
    if (!start_) start_ = d.tsc;

    Durations result;
    const auto since = [&d](const std::optional<std::uint64_t>& begin) {
        return begin ? std::optional(d.tsc - *begin) : std::nullopt;
    };
    if (d.tsc >= *start_) result.time = d.tsc - *start_;
    const bool exit = d.kind == Kind::L1Exit || d.kind == Kind::L2Exit;
    const bool entry = d.kind == Kind::L1Entry || d.kind == Kind::L2Entry;
    if (exit) {
        result.in_guest = since(v.entry);
        (d.kind == Kind::L1Exit ? result.time_in_l1 : result.time_in_l2) = result.in_guest;
        v.hardware_exit = d.tsc;
        v.entry = std::nullopt;
        if (d.kind == Kind::L2Exit) v.l2_exit = d.tsc;
        return result;
    }
    result.since_exit = since(v.hardware_exit);
    if (d.kind == Kind::L2Entry) {
        result.round_trip = since(v.l2_exit);
        v.l2_exit = std::nullopt;
    }
    if (entry) {
        v.entry = d.tsc;
        v.hardware_exit = std::nullopt;
    }
    return result;
}

}  // namespace vmxscope::core::query
