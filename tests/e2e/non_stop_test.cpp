// Non-stop mode on two vCPUs: one runs on freely while the other is stepped.
#include <nlohmann/json.hpp>

#include "wire.h"

using namespace vmxscope;
using e2e::begin_non_stop;
using e2e::take_stops;
using e2e::Wire;

namespace {

/// What the agent says of vCPU `id`; null: not seen yet.
nlohmann::json vcpu(Wire& wire, unsigned id) {
    const std::string reply = wire.vcpus();
    const auto all = nlohmann::json::parse(reply.substr(1), nullptr, false);
    for (const auto& v : all)
        if (v.is_object() && v.value("id", ~0u) == id) return v;
    return nullptr;
}

/// The next stop is that thread's, and for that reason.
void expect_stop(Wire& wire, const std::string& thread, std::string_view why) {
    const std::string stop = wire.told();
    EXPECT_NE(stop.find("thread:" + thread + ";" + std::string(why)), std::string::npos) << stop;
    EXPECT_EQ(take_stops(wire), 0u);
}

}  // namespace

TEST(NonStop, pae_ept_smp) {
    const auto& lab = lab::running_lab("pae-ept-smp");
    Wire wire(lab);
    wire.ask("qSupported:multiprocess+;vmx+");
    begin_non_stop(wire);
    ASSERT_EQ(wire.ask("vCont;c"), "OK");
    ASSERT_TRUE(e2e::eventually([&] { return !vcpu(wire, 1).is_null(); })) << "L1 starts its second processor";
    ASSERT_EQ(wire.ask("vCont;t:p1.2"), "OK");
    expect_stop(wire, "p1.2", "vmxwhy:");
    for (int i = 0; i < 20; ++i) {
        ASSERT_EQ(wire.ask("vCont;s:p1.2"), "OK");
        expect_stop(wire, "p1.2", "vmxwhy:transition");
        EXPECT_EQ(vcpu(wire, 0).value("state", ""), "running") << "the other was let go and is not stopped";
    }
    EXPECT_EQ(vcpu(wire, 1).value("state", ""), "held");
    // Each is stopped for itself; the one that ran on has gone further than it was.
    const auto stepped_to = vcpu(wire, 1).value("last_seq", 0u);
    ASSERT_EQ(wire.ask("vCont;t:p1.1"), "OK");
    expect_stop(wire, "p1.1", "vmxwhy:interrupted");
    EXPECT_EQ(vcpu(wire, 0).value("state", ""), "held");
    EXPECT_EQ(vcpu(wire, 1).value("last_seq", 0u), stepped_to) << "it stayed where it was";
    const auto history = nlohmann::json::parse(wire.ask("qXfer:vmx:read:history:0,1000").substr(1));
    EXPECT_GT(history.value("last", 0u), stepped_to);
    EXPECT_EQ(history.value("lost", 1u), 0u) << "who runs freely waits for the agent, so that nothing is";
    EXPECT_EQ(wire.ask("D;1"), "OK");
    EXPECT_TRUE(e2e::guest_goes_on(lab));
}
