// What KVM does with each guest's PDPTRs, seen in the lab: at least 200 nested transitions of each.
#include <algorithm>
#include <iterator>
#include <set>

#include "walked.h"

using namespace vmxscope;
using e2e::Judged;
using e2e::Walk;
using nested::Did;
using nested::Is;
using nested::Kind;

namespace {

constexpr std::size_t kTransitions = 200;

bool is_entry(const Judged& j) { return j.transition.kind == Kind::NestedEntry; }
bool is_exit(const Judged& j) { return j.transition.kind == Kind::NestedExit; }

/// Rule and evidence are both there and say the same; nothing was lost.
void expect_agreement(const std::vector<Judged>& all) {
    EXPECT_GE(all.size(), kTransitions);
    for (const Judged& j : all) {
        EXPECT_NE(j.verdict.by_rule, Did::Unknown) << j;
        EXPECT_NE(j.verdict.by_evidence, Did::Unknown) << j;
        EXPECT_EQ(j.verdict.by_rule, j.verdict.by_evidence) << j;
        EXPECT_EQ(j.transition.lost_before, 0u) << j;
    }
}

std::vector<Judged> only(const std::vector<Judged>& all, bool (*wanted)(const Judged&)) {
    std::vector<Judged> out;
    std::copy_if(all.begin(), all.end(), std::back_inserter(out), wanted);
    EXPECT_GE(out.size(), kTransitions / 3);
    return out;
}

/// The functions in which GUEST_PDPTR0 was accessed, in order.
std::vector<std::string> places_of_pdptr0(const Judged& j, nested::Evidence::Op op) {
    std::vector<std::string> out;
    for (const nested::Evidence& e : j.transition.evidence)
        if (e.op == op && e.encoding == static_cast<unsigned>(vmx::Field::GUEST_PDPTR0)) out.push_back(e.at.substr(0, e.at.find_first_of(".+")));
    return out;
}

void expect_each(const std::vector<Judged>& all, Did did, Is vmcs12, Is vmcs02) {
    for (const Judged& j : all) {
        EXPECT_EQ(j.verdict.did, did) << j;
        EXPECT_EQ(j.verdict.vmcs12, vmcs12) << j;
        EXPECT_EQ(j.verdict.vmcs02, vmcs02) << j;
        EXPECT_FALSE(j.verdict.alarm) << j;
    }
}

vmx::Value pdptr0(const vmx::VmcsImage& image) { return image[vmx::Field::GUEST_PDPTR0]; }

/// Guests without PAE paging in L2: the early copy is made once, for nothing.
void expect_not_pae(const std::string& name) {
    const auto& all = e2e::walked(name).nested;
    expect_agreement(all);
    const auto entries = only(all, is_entry);
    EXPECT_EQ(entries[0].verdict.did, Did::CopiedUnused) << entries[0];
    EXPECT_EQ(places_of_pdptr0(entries[0], nested::Evidence::Op::Vmwrite), std::vector<std::string>{"prepare_vmcs02_rare"}) << entries[0];
    expect_each({entries.begin() + 1, entries.end()}, Did::Skipped, Is::Undefined, Is::Undefined);
    expect_each(only(all, is_exit), Did::Skipped, Is::Undefined, Is::Undefined);
}

}  // namespace

TEST(Guests, pae_ept) {
    const auto& all = e2e::walked("pae-ept").nested;
    expect_agreement(all);
    const auto entries = only(all, is_entry);
    // Since v5.3: written early and late, the same values twice.
    EXPECT_EQ(entries[0].verdict.did, Did::Copied) << entries[0];
    EXPECT_EQ(places_of_pdptr0(entries[0], nested::Evidence::Op::Vmwrite), (std::vector<std::string>{"prepare_vmcs02_rare", "nested_vmx_enter_non_root_mode"})) << entries[0];
    EXPECT_EQ(pdptr0(entries[0].transition.vmcs12_after), pdptr0(entries[0].transition.vmcs02_after)) << entries[0];
    expect_each({entries.begin() + 1, entries.end()}, Did::Skipped, Is::Defined, Is::Defined);
    for (std::size_t i = 1; i < entries.size(); ++i) {
        EXPECT_EQ(entries[i].transition.context.dirty_vmcs12, false) << entries[i];
        EXPECT_EQ(entries[i].verdict.row, "KEPT_VALID") << entries[i];
    }
    const auto exits = only(all, is_exit);
    expect_each(exits, Did::Copied, Is::Defined, Is::Defined);
    for (const Judged& j : exits) {
        EXPECT_EQ(places_of_pdptr0(j, nested::Evidence::Op::Vmread), std::vector<std::string>{"sync_vmcs02_to_vmcs12"}) << j;
        EXPECT_EQ(pdptr0(j.transition.vmcs12_after), pdptr0(j.transition.vmcs02_after)) << j;
    }
}

TEST(Guests, pae_shadow) {
    const auto& all = e2e::walked("pae-shadow").nested;
    expect_agreement(all);
    const auto entries = only(all, is_entry);
    expect_each(entries, Did::FromMemory, Is::Undefined, Is::Defined);
    for (const Judged& j : entries) {
        const auto places = places_of_pdptr0(j, nested::Evidence::Op::Vmwrite);
        ASSERT_FALSE(places.empty()) << j;
        EXPECT_EQ(places.back(), "vmx_ept_load_pdptrs") << j;
    }
    expect_each(only(all, is_exit), Did::Skipped, Is::Undefined, Is::Defined);
}

TEST(Guests, long_ept) { expect_not_pae("long-ept"); }

TEST(Guests, legacy_ept) { expect_not_pae("legacy-ept"); }

TEST(Guests, pae_toggle) {
    const auto& all = e2e::walked("pae-toggle").nested;
    expect_agreement(all);
    std::set<std::string> rows;
    std::size_t alarms = 0;
    for (const Judged& j : all) {
        const bool pae = j.transition.context.pae.value_or(false), dirty = j.transition.context.dirty_vmcs12.value_or(false);
        rows.insert(j.verdict.row);
        alarms += j.verdict.alarm;
        const Did at_entry = !dirty ? Did::Skipped : pae ? Did::Copied : Did::CopiedUnused;
        EXPECT_EQ(j.verdict.did, is_entry(j) ? at_entry : pae ? Did::Copied : Did::Skipped) << j;
    }
    EXPECT_GT(alarms, 0u) << "L1 turns PAE on in shadowed fields only, once a round: KVM keeps undefined PDPTRs, and uses them";
    for (const char* row : {"COPIED", "COPIED_UNUSED", "KEPT_VALID", "STALE_UNUSED", "KEPT_UNDEFINED", "EXIT_COPIED", "EXIT_SKIP_NOT_PAE"})
        EXPECT_EQ(rows.count(row), 1u) << row;
}

namespace {

/// The guest gives processor 1 addresses 8 MiB above processor 0's (plugins/lab/guests/layout.h).
void expect_own_values(const nested::Transition& t) {
    const std::uint64_t frame_a = 0x800000 + t.vcpu * 0x800000, frame_b = frame_a + 0x400000;
    for (const vmx::VmcsImage* image : {&t.vmcs12_after, &t.vmcs02_after}) {
        const vmx::Value v = pdptr0(*image);
        ASSERT_TRUE(v.known()) << core::headline(t);
        EXPECT_TRUE(v.bits == frame_a + 0x2001 || v.bits == frame_b + 0x2001) << core::headline(t) << std::hex << v.bits;
    }
    for (const nested::Evidence& e : t.evidence) {
        if (e.encoding != static_cast<unsigned>(vmx::Field::GUEST_PDPTR0)) continue;
        EXPECT_TRUE(e.value.bits == frame_a + 0x2001 || e.value.bits == frame_b + 0x2001) << e.at << std::hex << e.value.bits;
    }
}

}  // namespace

TEST(Guests, pae_ept_smp) {
    Walk walk(lab::running_lab("pae-ept-smp"));
    // Until both vCPUs run guests of their own.
    std::set<std::uint32_t> seen;
    std::vector<Judged> all;
    while (seen.size() < 2) {
        all.push_back(Walk::judged(walk.at(walk.go({{std::nullopt, core::StepKind::Nested}}).seq)));
        seen.insert(all.back().transition.vcpu);
    }
    // One is stepped while the other runs on.
    std::uint64_t first = 0, last = 0;
    for (std::size_t i = 0; i < kTransitions / 4; ++i) {
        const core::Stop stop = walk.go({{0u, core::StepKind::Nested}, {std::nullopt, std::nullopt}});
        EXPECT_EQ(stop.vcpu, 0u);
        all.push_back(Walk::judged(walk.at(stop.seq)));
        if (!first) first = stop.seq;
        last = stop.seq;
    }
    std::size_t of_the_other = 0;
    for (std::uint64_t seq = first; seq <= last; ++seq)
        if (const auto t = walk.target().transition(seq); t && t->vcpu == 1 && t->kind == Kind::NestedExit) ++of_the_other;
    EXPECT_GT(of_the_other, 0u) << "vCPU 1 ran on while vCPU 0 was stepped";
    // Then both.
    std::size_t stops[2] = {0, 0};
    while (all.size() < kTransitions || !stops[0] || !stops[1]) {
        all.push_back(Walk::judged(walk.at(walk.go({{std::nullopt, core::StepKind::Nested}}).seq)));
        ++stops[all.back().transition.vcpu & 1];
    }
    expect_agreement(all);
    for (const Judged& j : all) expect_own_values(j.transition);
}
