// gdb, gdb-multiarch and lldb against the agent in the lab: the matrix that they also go through with recordings
// (tests/peers/gdb_matrix.py). Then writing, which the agent must be started for.
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "core/rsp/endpoint.h"
#include "lab_life.h"
#include "plugins/lab/backend.h"
#include "plugins/lab/plugin.h"
#include "tests/conformance/conformance.h"
#include "walk.h"
#include "wire.h"

using namespace vmxscope;
using core::Space;
using core::StepKind;
using core::WrittenVmcs;
using e2e::begin_non_stop;
using e2e::take_stops;
using e2e::Walk;
using e2e::Wire;
using lab::running_lab;
using nested::Kind;
using vmx::Field;

namespace {

struct Ran {
    int status = -1;
    std::string output;
};

Ran run(const std::string& command) {
    Ran ran;
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    if (!pipe) return ran;
    for (std::array<char, 4096> some{}; std::fgets(some.data(), some.size(), pipe);) ran.output += some.data();
    const int status = ::pclose(pipe);
    ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ran;
}

std::string address_of(const lab::Lab& lab) { return "127.0.0.1:" + lab.agent_endpoint().substr(lab.agent_endpoint().rfind(':') + 1); }

class Debuggers : public testing::TestWithParam<const char*> {};

/// Code of L1's, mapped one to one by L1 and L2 (plugins/lab/guests/layout.h).
constexpr std::uint64_t kCode = 0x100000;

}  // namespace

TEST_P(Debuggers, DoWhatTheMatrixAsks) {
    const auto& lab = running_lab("pae-ept");
    const auto newest_session = [&] { return lab::sh(lab, "ls /var/lib/vmxscope/sessions 2>/dev/null | tail -n 1"); };
    const std::string before = newest_session();
    const Ran matrix = run("python3 " VMXSCOPE_SOURCE "/tests/peers/gdb_matrix.py --debugger " + std::string(GetParam()) +
                           " --endpoint " + address_of(lab) + " --back --memory 0x100000 --steps 2");
    EXPECT_EQ(matrix.status, 0) << matrix.output;
    std::fputs(matrix.output.c_str(), stderr);
    EXPECT_TRUE(e2e::guest_goes_on(lab)) << "after " << GetParam();
    const std::string after = newest_session();
    EXPECT_NE(after.find(".vxt"), std::string::npos) << "its session was not recorded: " << after;
    EXPECT_NE(after, before);
}

INSTANTIATE_TEST_SUITE_P(All, Debuggers, testing::Values("gdb", "gdb-multiarch", "lldb-14"), [](const auto& p) {
    std::string name = p.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

TEST(NonStop, StepsAreToldByNotifications) {
    const auto& lab = running_lab("pae-ept");
    Wire wire(lab);
    wire.ask("qSupported:multiprocess+");
    begin_non_stop(wire);
    for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(wire.ask("vCont;s:p1.1"), "OK");
        const std::string stop = wire.told();
        EXPECT_NE(stop.find("thread:p1.1;vmxwhy:transition"), std::string::npos) << stop;
        EXPECT_EQ(take_stops(wire), 0u);
    }
    EXPECT_EQ(wire.ask("D;1"), "OK");
}

namespace vmxscope::test {

// What every back end must do (tests/conformance): the lab's, and with it the agent and a real KVM.
INSTANTIATE_TEST_SUITE_P(Lab, Conformance, testing::Values(Subject{"lab", lab::kPlugin.abilities, [] {
    const auto& lab = running_lab("pae-ept");
    return [&lab] { return e2e::attach_to_drive([&] { return lab::lab_backend()->attach(lab.instance().id(), {}); }); };
}}), name_of_subject);

}  // namespace vmxscope::test

// In this order: from here on the agent may write.

TEST(Writing, IsRefusedUnlessTheAgentWasToldThatItMay) {
    Walk walk(running_lab("pae-ept"));
    EXPECT_FALSE(walk.target().can(core::Ability::Write));
    walk.go({{std::nullopt, StepKind::Entry}});
    const auto field = walk.target().write_field(0, WrittenVmcs::Vmcs02, Field::GUEST_SYSENTER_CS, 1);
    const auto memory = walk.target().write_memory(0, Space::L1Linear, kCode, {std::byte{0}});
    ASSERT_FALSE(field);
    ASSERT_FALSE(memory);
    EXPECT_NE(field.error().text().find("--allow-writes"), std::string::npos) << field.error().text();
}

TEST(Writing, AFieldThatIsWrittenIsWhatTheProcessorAndKvmThenHave) {
    const auto& lab = running_lab("pae-ept");
    e2e::restart_agent(lab, "--allow-writes");
    Walk walk(lab);
    ASSERT_TRUE(walk.target().can(core::Ability::Write));
    const auto entry = walk.at(walk.go({{std::nullopt, StepKind::Entry}}).seq);
    ASSERT_EQ(entry.kind, Kind::NestedEntry);
    const std::uint64_t before = entry.vmcs02_after[Field::GUEST_SYSENTER_EIP].bits;
    const auto written = walk.target().write_field(0, WrittenVmcs::Vmcs02, Field::GUEST_SYSENTER_EIP, 0x123450);
    ASSERT_TRUE(written) << written.error().text();
    // The processor ran L2 with it and saved it; KVM gave it to L1.
    const auto exit = walk.at(walk.go({{std::nullopt, StepKind::Exit}}).seq);
    EXPECT_EQ(exit.vmcs02_before[Field::GUEST_SYSENTER_EIP], vmx::Value::of(0x123450));
    const auto ledger = walk.target().ledger();
    ASSERT_TRUE(ledger) << ledger.error().text();
    ASSERT_EQ(ledger->size(), 1u);
    const core::Write& w = ledger->front();
    EXPECT_EQ(w.what, "vmcs02 GUEST_SYSENTER_EIP");
    EXPECT_EQ(w.seq, entry.seq);
    EXPECT_EQ(w.vcpu, 0u);
    std::uint64_t was = 0, is = 0;
    ASSERT_EQ(w.before.size(), 8u);
    ASSERT_EQ(w.after.size(), 8u);
    std::memcpy(&was, w.before.data(), 8);
    std::memcpy(&is, w.after.data(), 8);
    EXPECT_EQ(was, before);
    EXPECT_EQ(is, 0x123450u);
    // While L1 is about to run there is no vmcs02; vmcs12 is L1's, whole.
    EXPECT_FALSE(walk.target().write_field(0, WrittenVmcs::Vmcs02, Field::GUEST_SYSENTER_EIP, before));
    const auto own = walk.target().write_field(0, WrittenVmcs::Vmcs12, Field::GUEST_SYSENTER_EIP, before);
    EXPECT_TRUE(own) << own.error().text();
}

TEST(Writing, WhatWouldHarmTheHostIsRefused) {
    Walk walk(running_lab("pae-ept"));
    const auto at = walk.at(walk.go({{std::nullopt, StepKind::Entry}}).seq);
    for (const Field f : {Field::HOST_RIP, Field::EPT_POINTER, Field::MSR_BITMAP, Field::VMCS_LINK_POINTER, Field::VM_EXIT_REASON})
        EXPECT_FALSE(walk.target().write_field(0, WrittenVmcs::Vmcs02, f, 0)) << vmx::name_of(f);
    EXPECT_FALSE(walk.target().write_field(0, WrittenVmcs::Vmcs12, Field::HOST_RIP, 0));
    EXPECT_FALSE(walk.target().write_field(0, WrittenVmcs::Vmcs02, Field::GUEST_CS_SELECTOR, 0x10000)) << "it is 16 bits wide";
    EXPECT_FALSE(walk.target().write_field(7, WrittenVmcs::Vmcs02, Field::GUEST_SYSENTER_EIP, 0)) << "there is no vCPU 7";
    const auto next = walk.at(walk.go({{std::nullopt, StepKind::Exit}}).seq);
    EXPECT_EQ(next.vmcs02_before[Field::EPT_POINTER], at.vmcs02_after[Field::EPT_POINTER]);
}

TEST(Writing, MemoryIsWrittenWhereverItIsSeen) {
    const auto& lab = running_lab("pae-ept");
    {
        Walk walk(lab);
        walk.go({{std::nullopt, StepKind::Entry}});
        // A place in frame A's stack page that nobody uses: of L2-linear, L2-physical and L1-physical the same bytes.
        const std::uint64_t unused = 0x800000 + 0x30000;
        const std::vector<std::byte> mark{std::byte{0x76}, std::byte{0x6d}, std::byte{0x78}};
        const auto written = walk.target().write_memory(0, Space::L2Linear, unused, mark);
        ASSERT_TRUE(written) << written.error().text();
        for (const Space space : {Space::L2Linear, Space::L2Physical, Space::L1Physical}) {
            const auto read = walk.target().read_memory(0, space, unused, mark.size());
            ASSERT_TRUE(read) << read.error().text();
            EXPECT_EQ(*read, mark) << name_of(space);
        }
        EXPECT_FALSE(walk.target().write_memory(0, Space::L2Linear, 0x80000000 - 2, mark)) << "half of it is not mapped";
        const auto ledger = walk.target().ledger();
        ASSERT_TRUE(ledger);
        EXPECT_EQ(ledger->size(), 1u) << "what was refused before anything was written is no write";
    }
    EXPECT_TRUE(e2e::guest_goes_on(lab));
}

TEST(Writing, GdbWritesToo) {
    const auto& lab = running_lab("pae-ept");
    const Ran gdb = run("gdb -nx -batch -ex 'set remotetimeout 300' -ex 'target remote " + address_of(lab) +
                        "' -ex 'monitor stepi entry' -ex stepi -ex 'set var $vmcs02_guest_sysenter_eip = 0x543210'"
                        " -ex 'set {int}0x830010 = 0x12345678' -ex 'x/1xw 0x830010' -ex 'monitor ledger' -ex detach");
    EXPECT_NE(gdb.output.find("0x830010:\t0x12345678"), std::string::npos) << gdb.output;
    EXPECT_NE(gdb.output.find("vmcs02 GUEST_SYSENTER_EIP"), std::string::npos) << gdb.output;
    EXPECT_NE(gdb.output.find("l2-linear 0x830010"), std::string::npos) << gdb.output;
    EXPECT_TRUE(e2e::guest_goes_on(lab));
}
