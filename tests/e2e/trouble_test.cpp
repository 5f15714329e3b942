// Nothing is ever left held: the agent is killed, the module unloaded, the guest ended, while a vCPU is held. And gdb.
#include <array>
#include <cstdio>

#include "lab_life.h"
#include "walk.h"

using namespace vmxscope;
using e2e::Walk;
using e2e::complaints;
using e2e::eventually;
using e2e::guest_goes_on;
using e2e::start_agent;
using lab::running_lab;
using lab::sh;

namespace {

constexpr const char* kHeld = "cat /proc/$(cat /run/qemu.pid)/task/*/stack | grep -c hold_work || true";

const std::string& complaints_at_boot() {
    static const std::string at_boot = complaints(running_lab("pae-ept"));
    return at_boot;
}

std::string output_of(const std::string& command) {
    std::string out;
    FILE* pipe = ::popen(command.c_str(), "r");
    for (std::array<char, 4096> some{}; std::fgets(some.data(), some.size(), pipe);) out += some.data();
    ::pclose(pipe);
    return out;
}

}  // namespace

// In this order: each leaves the lab as the next needs it.

TEST(Trouble, gdb_steps_from_transition_to_transition) {
    const auto& lab = running_lab("pae-ept");
    complaints_at_boot();
    const std::string port = lab.agent_endpoint().substr(lab.agent_endpoint().rfind(':') + 1);
    const std::string said = output_of("gdb -nx -batch -ex 'set remotetimeout 300' -ex 'target remote 127.0.0.1:" + port +
                                       "' -ex 'monitor info' -ex stepi -ex 'monitor info' -ex stepi -ex 'monitor info' -ex detach 2>&1");
    std::vector<std::uint64_t> seen;
    for (std::size_t at = 0; (at = said.find(", at transition ", at)) != std::string::npos;) seen.push_back(std::stoull(said.substr(at += 16)));
    ASSERT_EQ(seen.size(), 3u) << said;
    EXPECT_EQ(seen[1], seen[0] + 1) << said;
    EXPECT_EQ(seen[2], seen[1] + 1) << said;
    EXPECT_TRUE(guest_goes_on(lab)) << "after gdb's detach";
}

TEST(Trouble, a_second_client_looks_on_and_harms_nothing) {
    const auto& lab = running_lab("pae-ept");
    Walk first(lab);
    const std::uint64_t seq = first.nested(1).back().transition.seq;
    const auto second = core::rsp::attach_remote(lab.agent_endpoint(), "second", {});
    ASSERT_TRUE(second) << second.error().text();
    const auto seen = (*second)->transition(seq);
    ASSERT_TRUE(seen) << seen.error().text();
    EXPECT_EQ(*seen, first.at(seq));
    EXPECT_FALSE((*second)->set_evidence(nested::EvidenceScope::None)) << "what changes the guest is for who drives";
    EXPECT_EQ(first.nested(2).size(), 2u);
}

TEST(Trouble, the_guest_goes_on_when_the_client_is_gone) {
    const auto& lab = running_lab("pae-ept");
    { Walk walk(lab); walk.nested(1); EXPECT_EQ(sh(lab, kHeld), "1\n"); }
    EXPECT_TRUE(eventually([&] { return sh(lab, kHeld) == "0\n"; }));
    EXPECT_TRUE(guest_goes_on(lab));
}

TEST(Trouble, the_guest_goes_on_when_the_agent_is_killed_while_it_holds_a_vCPU) {
    const auto& lab = running_lab("pae-ept");
    Walk walk(lab);
    walk.nested(1);
    EXPECT_EQ(sh(lab, kHeld), "1\n");
    sh(lab, "kill -9 $(cat /run/agent.pid)");
    EXPECT_TRUE(eventually([&] { return sh(lab, kHeld) == "0\n"; }));
    EXPECT_TRUE(guest_goes_on(lab));
    const auto lost = walk.target().vcpus();
    ASSERT_FALSE(lost) << "the client must see that its connection is gone";
    EXPECT_FALSE(lost.error().remedy.empty());
}

TEST(Trouble, the_guest_goes_on_when_the_module_is_unloaded_and_loaded_again) {
    const auto& lab = running_lab("pae-ept");  // its agent was killed just now
    EXPECT_TRUE(eventually([&] { return sh(lab, "rmmod vmxscope 2>/dev/null; lsmod | grep -c vmxscope || true") == "0\n"; }));
    EXPECT_TRUE(guest_goes_on(lab));
    start_agent(lab);
    const auto without = core::rsp::attach_remote(lab.agent_endpoint(), "without a module", {});
    ASSERT_FALSE(without);
    EXPECT_NE(without.error().text().find("module"), std::string::npos) << without.error().text();
    sh(lab, "insmod /lab/modules/vmxscope.ko || insmod $(find / -name vmxscope.ko | head -n 1)");
    EXPECT_EQ(Walk(lab).nested(4).size(), 4u);
    EXPECT_TRUE(guest_goes_on(lab));
    EXPECT_EQ(complaints(lab), complaints_at_boot());
}

TEST(Trouble, a_guest_that_ends_while_it_is_held_is_said_to_have_ended) {
    const auto& lab = running_lab("pae-ept");
    Walk walk(lab);
    walk.nested(1);
    sh(lab, "kill -9 $(cat /run/qemu.pid)");
    const auto ended = walk.go({{std::nullopt, core::StepKind::Nested}});
    EXPECT_EQ(ended.why, core::Stop::Why::GuestGone);
    EXPECT_EQ(complaints(lab), complaints_at_boot());
}
