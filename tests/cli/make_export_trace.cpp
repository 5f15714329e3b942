// Makes a trace with everything in it that an export must get right: `make_export_trace FILE COUNT KHZ`. Round trips of
// two vCPUs, records lost, numbers that are missing, a TSC that goes back, an alarm, a refused entry, and hostile
// texts.
#include <cstdio>
#include <cstdlib>

#include "core/trace/writer.h"
#include "tests/core/trace_samples.h"
#include "vmx/bits.h"

using namespace vmxscope;

namespace {

void must(const core::Result<void>& done) {
    if (done) return;
    std::fprintf(stderr, "%s\n", done.error().text().c_str());
    std::exit(1);
}

core::trace::TraceInfo info(std::uint64_t khz) {
    core::trace::TraceInfo i;
    i.program = "vmxscope test";
    i.host = "l0<b>";
    i.target.name = "lab:\"pae\\ept\" <i>&";
    i.target.kernel = "6.1.0-28-amd64";
    i.target.cpu = "An emulated processor";
    i.started_ns = 1'700'000'000'123'456'789;
    i.tsc_khz = khz;
    return i;
}

/// The row KEPT_UNDEFINED, by rule.
void make_alarm(nested::Transition& t) {
    nested::Context& c = t.context;
    c.enable_ept = c.nested_ept = c.pae = c.from_vmentry = true;
    c.dirty_vmcs12 = c.evmcs = c.last_hw_exit_pae = false;
    t.evidence_scope = nested::EvidenceScope::None;
    t.evidence.clear();
    vmx::VmcsImage& v = t.vmcs02_after;
    v[vmx::Field::GUEST_CR0] = vmx::Value::of(v[vmx::Field::GUEST_CR0].bits | vmx::kCr0Pg);
    v[vmx::Field::GUEST_CR4] = vmx::Value::of(v[vmx::Field::GUEST_CR4].bits | vmx::kCr4Pae);
    v[vmx::Field::VM_ENTRY_CONTROLS] = vmx::Value::of(v[vmx::Field::VM_ENTRY_CONTROLS].bits & ~vmx::kEntryIa32eMode);
}

void refuse(nested::Transition& t) {
    t.kind = nested::Kind::NestedEntryFailed;
    t.status = 1;
    t.kvm_reason = "=nested_cr0_valid(vcpu, <vmcs12>)";
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const std::uint64_t count = std::strtoull(argv[2], nullptr, 0);
    auto writer =
        core::trace::Writer::create(argv[1], info(std::strtoull(argv[3], nullptr, 0)), {.transitions = 64}, true);
    if (!writer) return 1;
    core::test::RoundTrips source(5, 2);
    unsigned entries = 0;
    std::uint64_t beyond = 0;
    for (std::uint64_t i = 1; i <= count; ++i) {
        nested::Transition t = source.next();
        if (i == 30) t.notes.push_back("<script>alert('x')</script> \xff & \"quoted\" \x01\nsecond line");
        if (i == 31) t.notes.push_back("=HYPERLINK(\"x\")");
        if (i == 40) t.lost_before = 7;
        if (i == 101) beyond = 5;
        if (i == 150) t.tsc -= 1'000'000;
        if (t.kind == nested::Kind::NestedEntry && ++entries == 10) make_alarm(t);
        if (t.kind == nested::Kind::NestedEntry && entries == 12) refuse(t);
        t.seq += beyond;
        must(writer->add(t));
    }
    must(writer->finish());
}
