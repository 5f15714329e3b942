// A trace of version 1 of the format, made once (trace_make.cpp) and never again: every later program must read it as
// this one did.
#include <gtest/gtest.h>

#include "core/trace/trace.h"

namespace vmxscope::core::trace {
namespace {

using nested::Kind;
using nested::Transition;

/// Of all that is known in a transition: FNV-1a, by encodings, so that a longer list of fields changes nothing.
class Fingerprint {
  public:
    void add(std::uint64_t n) {
        for (int i = 0; i < 8; ++i) hash_ = (hash_ ^ (n >> (8 * i) & 0xff)) * 0x100000001b3;
    }
    void add(std::string_view text) {
        add(text.size());
        for (const char c : text) add(static_cast<unsigned char>(c));
    }
    void add(const vmx::Value& v) {
        add(static_cast<std::uint64_t>(v.state));
        add(v.bits);
    }
    void add(const vmx::VmcsImage& image) {
        for (const vmx::FieldInfo& info : vmx::all_fields()) {
            if (image[info.field].state == vmx::Known::NotRead) continue;
            add(static_cast<std::uint64_t>(info.field));
            add(image[info.field]);
        }
    }
    void add(const Transition& t) {
        for (const std::uint64_t n : {t.seq, t.tsc, std::uint64_t{t.vcpu}, t.vmcs02_as_of, t.lost_before}) add(n);
        for (const auto& image : {t.vmcs01, t.vmcs12_before, t.vmcs12_after, t.vmcs02_before, t.vmcs02_after})
            add(image);
        for (const auto& v : t.regs) add(v);
        for (const auto& v : t.cached_pdptrs) add(v);
        for (const auto& v : {t.exit.reason, t.exit.qualification, t.exit.guest_physical}) add(v);
        for (const nested::Evidence& e : t.evidence) {
            add(static_cast<std::uint64_t>(e.op) << 17 | std::uint64_t{e.vmcs02} << 16 | e.encoding);
            add(e.value);
            add(std::string_view(e.at));
        }
        add(std::string_view(t.kvm_reason));
        for (const std::string& note : t.notes) add(std::string_view(note));
        add(t.context.current_vmptr.value_or(1));
        add(t.context.efer.value_or(2));
        add(static_cast<std::uint64_t>(t.status.value_or(3)));
    }
    std::uint64_t value() const { return hash_; }

  private:
    std::uint64_t hash_ = 0xcbf29ce484222325;
};

TEST(TraceGolden, Version1IsReadForEver) {
    const auto trace = Trace::open(TRACE_GOLDEN "/trace-1.vxt");
    ASSERT_TRUE(trace) << trace.error().text();
    trace->verify();
    EXPECT_TRUE(trace->damage().empty());
    EXPECT_EQ(trace->count(), 124u);
    EXPECT_EQ(trace->first(), 1u);
    EXPECT_EQ(trace->last(), 160u);
    EXPECT_EQ(trace->blocks(), 4u);
    EXPECT_EQ(trace->info().host, "l0");
    EXPECT_EQ(trace->info().target.kernel, "6.1.0-28-amd64");
    EXPECT_EQ(trace->info().tsc_khz, 2'600'000u);
    ASSERT_TRUE(trace->info().capabilities);
    EXPECT_EQ(trace->info().capabilities->l0[vmx::CapabilityMsr::Basic], vmx::Value::of(0xda040000000004));

    const auto entry = trace->transition(13);
    ASSERT_TRUE(entry) << entry.error().text();
    EXPECT_EQ(entry->kind, Kind::NestedEntry);
    EXPECT_EQ(entry->tsc, 4886949700u);
    EXPECT_EQ(entry->vcpu, 0u);
    EXPECT_EQ(entry->vmcs02_after[vmx::Field::GUEST_RIP], vmx::Value::of(0x101023));
    EXPECT_EQ(entry->evidence.size(), 70u);

    Fingerprint found;
    std::array<int, 7> kinds{};
    ASSERT_TRUE(trace->scan(0, [&](const Transition& t) {
        found.add(t);
        ++kinds[static_cast<std::size_t>(t.kind)];
        return true;
    }));
    EXPECT_EQ(kinds, (std::array<int, 7>{28, 15, 20, 19, 15, 26, 1}));
    EXPECT_EQ(found.value(), 14653518594871574230u);
}

}  // namespace
}  // namespace vmxscope::core::trace
