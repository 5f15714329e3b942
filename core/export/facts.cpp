#include "core/export/facts.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "nested/flow_text.h"
#include "nested/pdptr.h"
#include "nested/routing.h"
#include "vmx/exit_reason.h"

namespace vmxscope::core::exporting {
namespace {

using nested::Kind;
using nested::Transition;
using vmx::Value;

constexpr std::size_t kMostVcpus = 4096;   // KVM_MAX_VCPUS is no more on x86
constexpr std::size_t kMostFindings = 16;  // in words

void tell_exit(const Transition& t, FactSink& sink) {
    const Value& reason = t.exit.reason;
    sink.text("exit_reason", reason.known() ? vmx::describe_exit_reason(static_cast<std::uint32_t>(reason.bits)) : "");
    sink.value("reason", reason);
    sink.value("qualification", t.exit.qualification);
    sink.value("intr_info", t.exit.intr_info);
    sink.value("guest_physical", t.exit.guest_physical);
    if (t.kind == Kind::L1Exit) return;
    const auto routing = nested::routing_of(t);
    sink.text("wanted_by", routing ? std::string(name_of(routing->who)) : "");
    sink.text("wanted_because", routing ? routing->by : "");
}

std::string findings_text(const Transition& t, const nested::Flow& flow) {
    std::string text;
    for (std::size_t i = 0; i < std::min(flow.findings.size(), kMostFindings); ++i)
        text += (i ? "\n" : "") + finding_text(t, flow, flow.findings[i]);
    if (flow.findings.size() > kMostFindings)
        text += fmt::format("\nand {} more", flow.findings.size() - kMostFindings);
    return text;
}

void tell_nested(const Transition& t, FactSink& sink) {
    const nested::Verdict v = nested::pdptr_verdict(t).value_or(nested::Verdict{});
    sink.text("pdptr", std::string(name_of(v.did)));
    sink.text("pdptr_row", v.row);
    sink.text("pdptr_why", v.reason);
    sink.text("pdptr_vmcs12", std::string(name_of(v.vmcs12)));
    sink.text("pdptr_vmcs02", std::string(name_of(v.vmcs02)));
    sink.truth("pdptr_used", v.used);
    sink.truth("pdptr_alarm", v.alarm);
    sink.truth("pdptr_agree", v.agree);
    const nested::Flow flow = nested::flow_of(t);
    sink.number("findings", flow.findings.size());
    sink.text("findings_text", findings_text(t, flow));
    if (t.kind == Kind::NestedExit) return;
    sink.value("status", t.status ? Value::of(static_cast<std::uint32_t>(*t.status)) : Value{});
    sink.text("kvm_reason", t.kvm_reason);
}

std::string notes_text(const Transition& t) {
    std::string text;
    for (const std::string& note : t.notes) text += (text.empty() ? "" : "\n") + note;
    return text;
}

}  // namespace

void tell(const Transition& t, FactSink& sink) {
    sink.number("seq", t.seq);
    sink.number("tsc", t.tsc);
    if (t.kind == Kind::L1Exit || t.kind == Kind::L2Exit || t.kind == Kind::NestedExit) tell_exit(t, sink);
    sink.value("rip", t.regs[nested::RIP]);
    if (nested::direction_of(t.kind)) tell_nested(t, sink);
    sink.number("lost", t.lost_before);
    sink.text("notes", notes_text(t));
}

void tell(const Gap& gap, FactSink& sink) {
    sink.number("lost", gap.lost);
    sink.number("transitions_missing", gap.missing);
    sink.truth("tsc_went_back", gap.back);
}

Course::Course(const trace::Trace& trace)
    : khz_(trace.info().tsc_khz), start_(trace.blocks() > 0 ? trace.block(0).first_tsc : 0) {}

Result<Course::Moment> Course::take(const trace::Digest& d) {
    if (!vcpus_.contains(d.vcpu) && vcpus_.size() == kMostVcpus)
        return fail(fmt::format("The trace has more than {} vCPUs, which no KVM has.", kMostVcpus));
    Vcpu& v = vcpus_[d.vcpu];
    Moment m;
    m.newest = v.cycles;
    m.gap.lost = d.lost_before;
    if (newest_seq_ != 0 && d.seq > newest_seq_ + 1) m.gap.missing = d.seq - newest_seq_ - 1;
    m.gap.back = d.tsc < v.tsc;
    newest_seq_ = d.seq;
    v.tsc = d.tsc;
    v.cycles = m.cycles = std::max(v.cycles, d.tsc > start_ ? d.tsc - start_ : 0);
    return m;
}

std::uint64_t Course::ns(std::uint64_t cycles) const {
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    if (khz_ == 0) return std::min(cycles, most);
    const std::uint64_t ms = cycles / khz_, rest = cycles % khz_;
    if (ms >= most / 1'000'000) return most;
    // The rest is less than a millisecond; in floating point it is exact to far less than a nanosecond.
    const auto part = static_cast<std::uint64_t>(static_cast<double>(rest) * 1e6 / static_cast<double>(khz_));
    return ms * 1'000'000 + std::min<std::uint64_t>(part, 999'999);
}

}  // namespace vmxscope::core::exporting
