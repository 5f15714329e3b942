// Running, packet by packet: breaks and breakpoints, back and forth, each vCPU for itself.
#include "core/break_target.h"
#include "core/rsp/packet.h"
#include "nested/transition_codec.h"
#include "server_fixture.h"

namespace vmxscope::core::rsp {
namespace {

using test::RawClient;

class Running : public test::Served {
  protected:
    /// A client that has been told of the first stop.
    RawClient attached() {
        RawClient client = connect();
        client.ask("?");
        return client;
    }
    static std::string transition(unsigned seq, unsigned thread = 1) {
        return fmt::format("T05thread:p1.{};vmxwhy:transition;vmxseq:{:x};", thread, seq);
    }
};

TEST_F(Running, ContinueStopsAtTheFirstTransitionThatABreakHoldsFor) {
    RawClient client = attached();
    EXPECT_EQ(monitor(client, "break if kind == nested-exit && vcpu == 0"),
              "Break 1: kind == nested-exit && vcpu == 0. continue stops at the next transition that it holds for.\n");
    const std::string stop = client.ask("vCont;c");
    EXPECT_TRUE(stop.starts_with("T05thread:p1.1;vmxwhy:transition;vmxseq:")) << stop;
    EXPECT_TRUE(client.console().starts_with("Break 1: kind == nested-exit && vcpu == 0\n")) << client.console();
    EXPECT_NE(client.console().find("nested-exit"), std::string::npos);
    EXPECT_EQ(last_resume().at(0).step, StepKind::Exit);  // the widest step that cannot miss
    EXPECT_EQ(monitor(client, "breaks"), "  1  kind == nested-exit && vcpu == 0  (hit 1 times)\n");
    EXPECT_EQ(monitor(client, "delete 1"), "Break 1 is no more.\n");
    EXPECT_EQ(monitor(client, "delete 1"), "There is no break 1. They are listed by: monitor breaks.\n");
    EXPECT_EQ(monitor(client, "breaks"), "There are no breaks. Set one: monitor break if EXPRESSION.\n");
}

TEST_F(Running, AMistakeInAConditionIsPointedAt) {
    RawClient client = attached();
    EXPECT_EQ(monitor(client, "break if exit_reson == HLT").substr(0, 41), "exit_reson == HLT\n^~~~~~~~~~\nThere is no ");
    EXPECT_EQ(monitor(client, "break"),
              "A break wants a condition. For instance: monitor break if exit_reason == EPT_VIOLATION.\n");
    EXPECT_EQ(monitor(client, "delete x"), "This command wants a number, and 'x' came.\n");
    EXPECT_EQ(monitor(client, "goto"), "This command wants a number, and '' came.\n");
}

TEST_F(Running, BreaksAreBounded) {
    RawClient client = attached();
    for (std::size_t i = 0; i < BreakTarget::kMostBreaks; ++i) monitor(client, "break if seq == 1");
    EXPECT_EQ(monitor(client, "break if seq == 1"), "There are 64 breaks already. Delete one: monitor delete N.\n");
}

TEST_F(Running, ARunThatABreakNeverEndsCanBeInterrupted) {
    RawClient client = attached();
    monitor(client, "break if seq == 0");
    client.send("vCont;c");
    EXPECT_EQ(client.ask("qXfer:vmx:read:history:0,1000").substr(0, 1), "l");  // and asked meanwhile
    EXPECT_EQ(client.ask("vCont;c"), "E.The guest already runs.");
    client.send_raw("\x03");
    EXPECT_TRUE(client.receive().starts_with("T02thread:p1."));
}

TEST_F(Running, StepsPassBreaksBy) {
    RawClient client = attached();
    monitor(client, "break if seq == 1");
    EXPECT_EQ(client.ask("QVmxStep:exit"), "OK");
    EXPECT_EQ(client.ask("vCont;s:p1.1"), transition(5));
}

TEST_F(Running, TimesAreKnownToABreak) {
    script->vcpus = 1;
    RawClient client = attached();
    monitor(client, "break if cycles(in_guest) == 1 && level == 2");  // a TSC cycle lies between any two of them
    EXPECT_EQ(client.ask("vCont;c"), transition(4));  // l2-exit after l2-entry
    EXPECT_EQ(client.ask("vCont;c"), transition(10));
    EXPECT_EQ(client.ask("bc"), transition(4));
}

TEST_F(Running, ABreakpointIsATransitionsRipAndSaysSo) {
    RawClient client = attached();
    EXPECT_EQ(client.ask("Z0,100030,1"), "OK");
    EXPECT_EQ(client.ask("Z1,1100040,1"), "OK");
    EXPECT_EQ(client.ask("vCont;c"), "T05thread:p1.1;swbreak:;vmxwhy:transition;vmxseq:3;");
    EXPECT_NE(client.console().find("KVM_SET_GUEST_DEBUG"), std::string::npos) << client.console();
    EXPECT_NE(client.console().find("Breakpoint at 0x100030: the rip of this transition.\n"), std::string::npos);
    const auto said = client.console().size();
    EXPECT_EQ(client.ask("vCont;c:p1.2"), "T05thread:p1.2;hwbreak:;vmxwhy:transition;vmxseq:4;");
    EXPECT_EQ(client.console().find("KVM_SET_GUEST_DEBUG", said), std::string::npos);  // once is enough
    EXPECT_EQ(client.ask("z0,100030,1"), "OK");
    EXPECT_EQ(client.ask("z1,1100040,1"), "OK");
    EXPECT_EQ(client.ask("z1,5,1"), "OK");
    EXPECT_EQ(client.ask("vCont;s:p1.1"), transition(5));
    for (const char* bad : {"Z0,", "Z0,x,1", "Z0,1000", "Z0,1000,", "z0,"}) EXPECT_TRUE(client.ask(bad).starts_with("E.")) << bad;
    for (const char* unknown : {"Z2,1000,1", "Z3,1000,8", "Z4,1000,8", "z2,1000,1", "Z5,0,0"}) EXPECT_EQ(client.ask(unknown), "");
}

TEST_F(Running, AClientThatDoesNotKnowBreakpointsIsNotToldOfThem) {
    RawClient client = connect("multiprocess+");
    client.ask("?");
    client.ask("Z0,100010,1");
    EXPECT_EQ(client.ask("vCont;c"), transition(1));
}

TEST_F(Running, GoesBackThroughWhatWasSeenAndForthToThePresent) {
    script->vcpus = 1;
    RawClient client = attached();
    EXPECT_EQ(client.ask("bs"), "T05thread:p1.1;replaylog:begin;vmxwhy:end;vmxseq:0;");
    for (unsigned i = 1; i <= 6; ++i) EXPECT_EQ(client.ask("vCont;s:p1.1"), transition(i));
    const int resumed = script->resumed_times;
    EXPECT_EQ(client.ask("bs"), transition(5));
    EXPECT_EQ(client.ask("m400010,8"), "E01");  // memory is of the present
    EXPECT_EQ(client.ask("qXfer:vmx:read:memory/0/l2-linear/400000/10:0,100"),
              "E.This is the past, at transition 5: of it only transitions are kept, and memory is of the present. Go to the "
              "present: monitor goto 6.");
    EXPECT_EQ(client.ask("QVmxStep:entry"), "OK");
    EXPECT_EQ(client.ask("bs"), transition(2));
    EXPECT_EQ(client.ask("p10"), "2000100000000000");
    EXPECT_EQ(from_hex(client.ask("qThreadExtraInfo,p1.1")), "vCPU 0, L2 runs, held, transition 2 nested-entry");
    EXPECT_EQ(client.ask("bc"), "T05thread:p1.1;replaylog:begin;vmxwhy:end;vmxseq:1;");
    EXPECT_EQ(client.ask("QVmxStep:transition"), "OK");
    EXPECT_EQ(client.ask("vCont;s:p1.1"), transition(2));
    EXPECT_EQ(client.ask("vCont;c"), "T05thread:p1.1;replaylog:end;vmxwhy:end;vmxseq:6;");
    EXPECT_EQ(script->resumed_times, resumed);
    EXPECT_EQ(client.ask("m400010,8").size(), 16u);
    EXPECT_EQ(client.ask("vCont;s:p1.1"), transition(7));
    EXPECT_EQ(script->resumed_times, resumed + 1);
    EXPECT_EQ(client.ask("QVmxGoto:3"), transition(3));
    EXPECT_EQ(client.ask("QVmxGoto:99"), "E.Transition 99 is not among those that are kept: 1 to 7.");
    EXPECT_EQ(client.ask("QVmxGoto:x"), "E.'x' is not the number of a transition.");
}

TEST_F(Running, MonitorGoesBackAndAnywhere) {
    script->vcpus = 1;
    RawClient client = attached();
    for (unsigned i = 1; i <= 6; ++i) client.ask("vCont;s:p1.1");
    EXPECT_NE(monitor(client, "back").find("nested-exit"), std::string::npos);
    EXPECT_EQ(client.ask("?"), transition(5));
    EXPECT_NE(monitor(client, "goto 2").find("nested-entry"), std::string::npos);
    EXPECT_EQ(client.ask("?"), transition(2));
    EXPECT_EQ(monitor(client, "goto 77"), "Transition 77 is not among those that are kept: 1 to 6.\n");
}

TEST_F(Running, WhatIsNotThereIsNotRun) {
    RawClient client = attached();
    EXPECT_EQ(client.ask("vCont;s:p1.9"), "N");  // nothing of what was let go runs
    EXPECT_EQ(client.ask("vCont;s:p1.9;c"), "E.The guest has no vCPU 8.");
    EXPECT_EQ(client.ask("vCont;s:p2.1"), "E.There is no thread 'p2.1'.");
    EXPECT_EQ(client.ask("vCont;x"), "E.The vCont action 'x' is not known here.");
    EXPECT_EQ(client.ask("vCont;t"), "E.In all-stop mode vCont;t has no meaning: send 0x03.");
    EXPECT_EQ(client.ask("vCont;"), "E.The vCont action '' is not known here.");
    for (const char* nonsense : {"H", "Hg", "Hgq", "Hg-5", "Hgp1.1.1", "Hcp9.1", "Hgfffffffff", "Tzz", "T"})
        EXPECT_TRUE(client.ask(nonsense).starts_with("E.")) << nonsense;
    EXPECT_EQ(script->resumed_times, 0);
    EXPECT_EQ(client.ask("vCont;r100000,100100:p1.1;c"), transition(1));
}

TEST_F(Running, AWholeTransitionComesWithItsStopForWhoAsks) {
    RawClient client = connect("multiprocess+;vmx+");
    client.ask("?");
    EXPECT_EQ(client.ask("QVmxDeliver:1"), "OK");
    const std::string stop = client.ask("vCont;s:p1.1");
    EXPECT_TRUE(stop.starts_with(transition(1))) << stop;
    const std::string_view data = stop_data(stop);
    const auto t = nested::decode(std::as_bytes(std::span(data)));
    ASSERT_TRUE(t) << t.error().what;
    EXPECT_EQ(*t, test::example_transition(1, 0, nested::Kind::L1Exit));
    EXPECT_EQ(parse_stop_reply(stop)->seq, 1u);
    EXPECT_EQ(client.ask("QVmxDeliver:0"), "OK");
    EXPECT_EQ(client.ask("vCont;s:p1.1"), transition(2));
    EXPECT_EQ(client.ask("QVmxDeliver:2"), "E.QVmxDeliver wants 1 or 0.");
}

class NonStop : public Running {
  protected:
    NonStop() { script->abilities = {Ability::Transitions, Ability::NonStop}; }
    RawClient non_stop() {
        RawClient client = connect();
        EXPECT_EQ(client.ask("QNonStop:1"), "OK");
        return client;
    }
    /// The same, of two vCPUs, when it has been told that both have stopped.
    RawClient non_stop_and_told() {
        RawClient client = non_stop();
        EXPECT_EQ(client.ask("?"), "T00thread:p1.1;vmxwhy:attached;vmxseq:0;");
        EXPECT_EQ(client.notification(), "Stop:T00thread:p1.2;vmxwhy:attached;vmxseq:0;");
        EXPECT_EQ(client.ask("vStopped"), "OK");
        return client;
    }
};

TEST_F(NonStop, IsRefusedByATargetThatCannot) {
    script->abilities = {Ability::Transitions};
    RawClient client = attached();
    EXPECT_EQ(client.ask("QNonStop:1"), "E.This target stops all vCPUs when one stops: non-stop mode is not for it.");
    EXPECT_EQ(client.ask("QNonStop:0"), "OK");
    EXPECT_EQ(client.ask("QNonStop:7"), "E.QNonStop wants 1 or 0.");
}

TEST_F(NonStop, TheFirstStopsAreToldOneByOne) {
    script->vcpus = 3;
    RawClient client = non_stop();
    EXPECT_EQ(client.ask("?"), "T00thread:p1.1;vmxwhy:attached;vmxseq:0;");
    EXPECT_EQ(client.notification(), "Stop:T00thread:p1.2;vmxwhy:attached;vmxseq:0;");
    EXPECT_EQ(client.ask("vStopped"), "T00thread:p1.3;vmxwhy:attached;vmxseq:0;");
    EXPECT_EQ(client.ask("vStopped"), "OK");
}

TEST_F(NonStop, EachVcpuRunsAndStopsForItself) {
    RawClient client = non_stop_and_told();
    EXPECT_EQ(client.ask("vCont;s:p1.2"), "OK");
    EXPECT_EQ(client.notification(), "Stop:" + transition(1, 2));
    EXPECT_EQ(client.ask("vStopped"), "OK");
    EXPECT_EQ(client.ask("vCont;c:p1.1"), "OK");
    EXPECT_EQ(client.ask("vCont;s:p1.2"), "OK");  // while the other runs
    EXPECT_EQ(client.notification(), "Stop:" + transition(2, 2));
    EXPECT_EQ(client.ask("vStopped"), "OK");
    EXPECT_NE(client.ask("qXfer:vmx:read:vcpus:0,1000").find("\"running\""), std::string::npos);
    EXPECT_EQ(client.ask("vCont;t:p1.1"), "OK");
    EXPECT_EQ(client.notification(), "Stop:T00thread:p1.1;vmxwhy:interrupted;vmxseq:0;");
    EXPECT_EQ(client.ask("vStopped"), "OK");
    EXPECT_EQ(client.ask("vCont;t"), "OK");  // all are stopped: nothing to say
    EXPECT_EQ(client.ask("vStopped"), "OK");
    EXPECT_EQ(client.ask("c"), "E.In non-stop mode threads are resumed by vCont.");
    EXPECT_EQ(client.ask("bs"),
              "E.In non-stop mode there is no way back: each vCPU is at a time of its own. Turn it off: set non-stop off.");
    EXPECT_EQ(client.ask("vCont;s:p1.9"), "E.The guest has no vCPU 8.");
}

/// Its stop and the client's packet may cross.
TEST_F(NonStop, OneWhoseStopIsStillToBeToldIsNotAmongAll) {
    RawClient client = non_stop_and_told();
    EXPECT_EQ(client.ask("vCont;s:p1.2"), "OK");
    EXPECT_EQ(client.notification(), "Stop:" + transition(1, 2));
    EXPECT_EQ(client.ask("vCont;c"), "OK");  // before it has taken the stop
    EXPECT_EQ(client.ask("vStopped"), "OK");
    const auto states = [&] { return client.ask("qXfer:vmx:read:vcpus:0,1000"); };
    EXPECT_NE(states().find("\"held\""), std::string::npos) << states();
    EXPECT_NE(states().find("\"running\""), std::string::npos) << states();
    EXPECT_EQ(client.ask("vCont;c"), "OK");
    EXPECT_EQ(states().find("\"held\""), std::string::npos) << states();
}

TEST_F(NonStop, ACtrlCStopsAllThatRun) {
    RawClient client = non_stop_and_told();
    EXPECT_EQ(client.ask("vCont;c"), "OK");
    EXPECT_EQ(client.ask("vCont;c"), "OK");  // they run already
    EXPECT_EQ(script->resumed_times, 1);
    EXPECT_EQ(client.ask("vCtrlC"), "OK");
    EXPECT_EQ(client.notification(), "Stop:T02thread:p1.1;vmxwhy:interrupted;vmxseq:0;");
    EXPECT_TRUE(test::becomes_true([&] {
        return client.ask("qXfer:vmx:read:vcpus:0,1000").find("\"running\"") == std::string::npos;
    }));
    EXPECT_EQ(client.ask("vStopped"), "T02thread:p1.2;vmxwhy:interrupted;vmxseq:0;");
    EXPECT_EQ(client.ask("vStopped"), "OK");
    EXPECT_EQ(client.ask("QNonStop:0"), "OK");
    EXPECT_EQ(client.ask("vCont;s:p1.1"), transition(1));
}

TEST_F(NonStop, BreaksHoldForEachVcpu) {
    RawClient client = non_stop_and_told();
    monitor(client, "break if kind == nested-exit && vcpu == 1");
    EXPECT_EQ(client.ask("vCont;c"), "OK");
    EXPECT_TRUE(client.notification().starts_with("Stop:T05thread:p1.2;vmxwhy:transition;"));
    EXPECT_EQ(client.ask("vCont;t:p1.1"), "OK");
    EXPECT_EQ(client.ask("vStopped").substr(0, 18), "T00thread:p1.1;vmx");
}

TEST_F(NonStop, TheGuestsEndIsTold) {
    script->ends_after = 1;
    RawClient client = non_stop_and_told();
    EXPECT_EQ(client.ask("vCont;s:p1.1"), "OK");
    EXPECT_EQ(client.notification(), "Stop:" + transition(1));
    client.ask("vStopped");
    EXPECT_EQ(client.ask("vCont;s:p1.1"), "OK");
    EXPECT_EQ(client.notification(), "Stop:W00;process:1");
}

}  // namespace
}  // namespace vmxscope::core::rsp
