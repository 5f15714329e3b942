// One packet after the other, as they cross the wire.
#include "core/rsp/server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "core/rsp/codec.h"
#include "core/rsp/objects.h"
#include "nested/transition_codec.h"
#include "server_fixture.h"

namespace vmxscope::core::rsp {
namespace {

using nested::Kind;
using test::becomes_true;
using test::RawClient;
using test::RunningServer;
using test::Script;

class ServerTest : public testing::Test {
  protected:
    void start() {
        server.emplace(script);
        client.emplace(server->connect());
    }
    /// As gdb 13 introduces itself.
    void start_as_gdb() {
        start();
        client->ask("qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;vContSupported+;xmlRegisters=i386");
        client->ask("?");
    }
    std::string ask_monitor(std::string_view text) {
        return from_hex(client->ask("qRcmd," + to_hex(text))).value_or("not hex");
    }
    std::vector<Action> last_resume() {
        const std::lock_guard lock(script->mutex);
        return script->resumed.empty() ? std::vector<Action>{} : script->resumed.back();
    }

    std::shared_ptr<Script> script = [] {
        auto s = std::make_shared<Script>();
        s->vcpus = 2;
        s->kinds = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry};
        return s;
    }();
    std::optional<RunningServer> server;
    std::optional<RawClient> client;
};

TEST_F(ServerTest, SaysWhatItSupports) {
    start();
    EXPECT_EQ(client->ask("qSupported:multiprocess+"),
              "PacketSize=20000;multiprocess+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;no-resumed+;"
              "qXfer:features:read+;qXfer:threads:read+;qXfer:osdata:read+;ReverseStep+;ReverseContinue+;vmx+");
}

TEST_F(ServerTest, AnswersWhatItDoesNotKnowWithNothing) {
    start();
    client->send("vMustReplyEmpty");
    client->send("QNoSuchThing:1");
    client->send("Z2,1000,1");
    client->send("qAttached");
    client->send("k");
    EXPECT_EQ(client->receive_raw().substr(0, 21), "+$#00+$#00+$#00+$1#31");
}

TEST_F(ServerTest, AcksUntilToldNotTo) {
    start();
    client->send("QStartNoAckMode");
    EXPECT_EQ(client->receive(), "OK");
    client->send_raw("+");
    client->send("qC");
    client->send("D;1");
    EXPECT_EQ(client->receive_raw().substr(0, 9), "$QC1#c5$O");
}

TEST_F(ServerTest, AsksAgainForAGarbledPacketAndRepeatsItsAnswerWhenAsked) {
    start();
    client->send_raw("$qC#00");
    client->send_raw("$qC#b4");
    EXPECT_EQ(client->receive(), "QC1");
    client->send_raw("-");
    EXPECT_EQ(client->receive(), "QC1");
    client->send("D");
    EXPECT_EQ(client->receive_raw().substr(0, 2), "+$");
}

TEST_F(ServerTest, WithoutAcksAGarbledPacketGetsASentence) {
    start();
    client->ask("QStartNoAckMode");
    client->send_raw("$qC#00");
    EXPECT_EQ(client->receive(), "E.What came makes no sense: a packet's checksum is 00, and its bytes add up to b4.");
    EXPECT_EQ(client->ask("qC"), "QC1");  // and nothing else is lost
}

TEST_F(ServerTest, ShowsVcpusAsThreads) {
    start_as_gdb();
    EXPECT_EQ(client->ask("qfThreadInfo"), "mp1.1,p1.2");
    EXPECT_EQ(client->ask("qsThreadInfo"), "l");
    EXPECT_EQ(client->ask("qC"), "QCp1.1");
    EXPECT_EQ(client->ask("Tp1.2"), "OK");
    EXPECT_EQ(client->ask("Tp1.3"), "E.The guest has no vCPU 2.");
    EXPECT_EQ(client->ask("Hgp1.2"), "OK");
    EXPECT_EQ(client->ask("qC"), "QCp1.2");
    EXPECT_EQ(client->ask("Hgp1.7"), "E.The guest has no vCPU 6.");
    EXPECT_EQ(client->ask("Hcp1.-1"), "OK");
    EXPECT_EQ(from_hex(client->ask("qThreadExtraInfo,p1.1")), "vCPU 0, L1 runs, held");
    EXPECT_EQ(client->ask("qXfer:threads:read::0,1000"),
              "l<?xml version=\"1.0\"?><threads><thread id=\"p1.1\" name=\"vCPU 0, L1\">L1 runs, held</thread>"
              "<thread id=\"p1.2\" name=\"vCPU 1, L1\">L1 runs, held</thread></threads>");
}

TEST_F(ServerTest, ThreadsAreNumbersForAClientWithoutMultiprocess) {
    start();
    EXPECT_EQ(client->ask("?"), "T05thread:1;vmxwhy:attached;vmxseq:0;");
    EXPECT_EQ(client->ask("qfThreadInfo"), "m1,2");
}

TEST_F(ServerTest, StepsToTheNextTransitionAndTellsWhich) {
    start();
    client->ask("qSupported:multiprocess+");
    EXPECT_EQ(client->ask("?"), "T05thread:p1.1;vmxwhy:attached;vmxseq:0;");
    EXPECT_EQ(client->ask("vCont?"), "vCont;c;C;s;S;t;r");
    EXPECT_EQ(client->ask("vCont;s:p1.1"), "T05thread:p1.1;vmxwhy:transition;vmxseq:1;");
    EXPECT_EQ(client->ask("?"), "T05thread:p1.1;vmxwhy:transition;vmxseq:1;");
    EXPECT_EQ(from_hex(client->ask("qThreadExtraInfo,p1.1")), "vCPU 0, L1 runs, held, transition 1 l1-exit");
    EXPECT_EQ(client->ask("vCont;s:p1.2;c:p1.-1"), "T05thread:p1.2;vmxwhy:transition;vmxseq:2;");
    EXPECT_EQ(client->ask("qC"), "QCp1.2");  // the thread that stopped is the selected one
}

TEST_F(ServerTest, PeopleReadTheTransitionAtEachStop) {
    start_as_gdb();
    client->ask("QVmxStep:entry");
    client->ask("vCont;s:p1.1");
    EXPECT_NE(client->console().find("nested-entry"), std::string::npos) << client->console();
}

TEST_F(ServerTest, ProgramsThatReadTransitionsThemselvesAreSparedThat) {
    start();
    client->ask("qSupported:multiprocess+;vmx+");
    client->ask("?");
    client->ask("vCont;s:p1.1");
    EXPECT_EQ(client->console(), "");
}

TEST_F(ServerTest, ARunUnderWayIsNotBegunAgain) {
    start_as_gdb();
    client->send("vCont;c");
    EXPECT_EQ(client->ask("vCont;c"), "E.The guest already runs.");
    EXPECT_EQ(script->resumed_times, 1);
}

TEST_F(ServerTest, PassesEachThreadsOwnActionOn) {
    start_as_gdb();
    client->ask("vCont;s:p1.2;c:p1.-1");
    ASSERT_EQ(last_resume().size(), 2u);
    EXPECT_EQ(last_resume()[0].vcpu, 1u);
    EXPECT_EQ(last_resume()[0].step, StepKind::Transition);
    EXPECT_EQ(last_resume()[1].vcpu, std::nullopt);
    EXPECT_EQ(last_resume()[1].step, std::nullopt);
    client->ask("vCont;s:p1.1");
    ASSERT_EQ(last_resume().size(), 1u);  // the other vCPU stays held
    EXPECT_EQ(last_resume()[0].vcpu, 0u);
}

TEST_F(ServerTest, StepMeansWhatQVmxStepSays) {
    start_as_gdb();
    EXPECT_EQ(client->ask("QVmxStep:exit"), "OK");
    EXPECT_EQ(client->ask("vCont;s:p1.1"), "T05thread:p1.1;vmxwhy:transition;vmxseq:5;");
    EXPECT_EQ(client->ask("QVmxStep:entry"), "OK");
    EXPECT_EQ(client->ask("s"), "T05thread:p1.1;vmxwhy:transition;vmxseq:8;");  // past the l1-entry and the l1-exit
    EXPECT_EQ(client->ask("QVmxStep:sideways"),
              "E.There is no step 'sideways'. The steps are: transition, nested, entry, exit.");
}

TEST_F(ServerTest, AnInterruptStopsTheRun) {
    start_as_gdb();
    client->send("vCont;c");
    client->send_raw("\x03");
    EXPECT_EQ(client->receive(), "T02thread:p1.1;vmxwhy:interrupted;vmxseq:0;");
    client->send_raw("\x03");  // nothing runs: nothing to say
    EXPECT_EQ(client->ask("qAttached:1"), "1");
}

TEST_F(ServerTest, OwnObjectsCanBeReadWhileTheGuestRuns) {
    start_as_gdb();
    client->send("vCont;c");
    const std::string vcpus = client->ask("qXfer:vmx:read:vcpus:0,1000");
    ASSERT_EQ(vcpus[0], 'l');
    EXPECT_EQ(parse_vcpus(vcpus.substr(1)).value()[0].state, VcpuState::Running);
}

TEST_F(ServerTest, TheGuestsEndIsTold) {
    script->ends_after = 1;
    start_as_gdb();
    client->ask("vCont;s:p1.1");
    EXPECT_EQ(client->ask("vCont;s:p1.1"), "W00;process:1");
    EXPECT_TRUE(client->console().ends_with("QEMU ended with status 0.\n")) << client->console();
    EXPECT_EQ(client->ask("vCont;c"), "E.The guest has ended.");
}

TEST_F(ServerTest, ReadsRegistersAndRefusesToWriteThem) {
    start_as_gdb();
    EXPECT_EQ(client->ask("g").substr(0, 16), "xxxxxxxxxxxxxxxx");  // no transition yet: nothing is known
    client->ask("vCont;s:p1.1");
    EXPECT_EQ(client->ask("g").substr(0, 16), "0110000000000000");
    EXPECT_EQ(client->ask("p10"), "1000100000000000");
    EXPECT_EQ(client->ask("pffff"), "E.There is no register 'ffff'.");
    EXPECT_EQ(client->ask("p"), "E.There is no register ''.");
    EXPECT_EQ(client->ask("P10=00").substr(0, 2), "E.");
    EXPECT_EQ(client->ask("G00").substr(0, 2), "E.");
    EXPECT_EQ(client->ask("M0,1:00"),
              "E.Nothing can be written: vmxscope only looks, unless it is told otherwise. Start the agent with --allow-writes.");
    EXPECT_EQ(client->ask("m1000,8"), "E01");
}

TEST_F(ServerTest, ServesWholeTransitionsAndItsOwnObjects) {
    start_as_gdb();
    client->ask("vCont;s:p1.1");
    std::string bytes;
    for (bool more = true; more;) {  // in pieces
        const std::string piece = client->ask(fmt::format("qXfer:vmx:read:transition/1:{:x},100", bytes.size()));
        ASSERT_FALSE(piece.empty());
        more = piece[0] == 'm';
        bytes += piece.substr(1);
    }
    const auto t = nested::decode(std::as_bytes(std::span(bytes)));
    ASSERT_TRUE(t) << t.error().what;
    EXPECT_EQ(*t, test::example_transition(1, 0, Kind::L1Exit));

    EXPECT_EQ(parse_history(client->ask("qXfer:vmx:read:history:0,1000").substr(1)).value().last, 1u);
    EXPECT_EQ(parse_info(client->ask("qXfer:vmx:read:info:0,1000").substr(1)).value().pid, 4711u);
    EXPECT_EQ(client->ask("qXfer:vmx:read:transition/2:0,100"), "E.Transition 2 is not kept any more.");
    EXPECT_EQ(client->ask("qXfer:vmx:read:transition/x:0,100"), "E.'x' is not the number of a transition.");
    EXPECT_EQ(client->ask("qXfer:vmx:read:nothing:0,100"), "E.There is no object 'vmx' named 'nothing' to read here.");
    EXPECT_EQ(client->ask("qXfer:vmx:read:info").substr(0, 2), "E.");
}

TEST_F(ServerTest, DetachAnswersThenLetsGoAndTheNextClientAttaches) {
    start_as_gdb();
    EXPECT_EQ(client->ask("D;1"), "OK");
    EXPECT_EQ(client->receive(), "");  // closed
    EXPECT_TRUE(becomes_true([&] { return script->attached == 0; }));
    EXPECT_EQ(script->detached, 1);
    RawClient next(server->connect());
    EXPECT_EQ(next.ask("?"), "T05thread:1;vmxwhy:attached;vmxseq:0;");
}

TEST_F(ServerTest, KillIsRefusedOrADetach) {
    start_as_gdb();
    EXPECT_EQ(client->ask("vKill;1"), "E.vmxscope does not kill guests. Use detach: the guest then runs on.");
    client->send("k");
    EXPECT_EQ(client->receive(), "");
    EXPECT_TRUE(becomes_true([&] { return script->detached == 1; }));
}

TEST_F(ServerTest, AClientThatVanishesLeavesNothingHeld) {
    start_as_gdb();
    client->close();
    EXPECT_TRUE(becomes_true([&] { return script->attached == 0 && script->detached == 1; }));
    RawClient next(server->connect());
    next.ask("?");
    next.send("vCont;c");
    next.close();  // while the guest runs
    EXPECT_TRUE(becomes_true([&] { return script->attached == 0 && script->detached == 2; }));
}

TEST_F(ServerTest, AClientThatVanishesInTheMiddleOfAPacketOrAnAnswerLeavesNothingHeld) {
    start_as_gdb();
    client->send_raw("$qXfer:vmx:read:tran");
    client->close();
    EXPECT_TRUE(becomes_true([&] { return script->detached == 1; }));
    RawClient next(server->connect());
    for (int i = 0; i < 2000; ++i) next.send("qXfer:features:read:target.xml:0,20000");  // and reads no answer
    next.close();
    EXPECT_TRUE(becomes_true([&] { return script->detached == 2; }));
}

TEST_F(ServerTest, WhatKeepsTheTargetFromBeingMadeIsTheAnswerToTheFirstPacket) {
    const RunningServer refusing([]() -> Result<std::unique_ptr<Target>> {
        return fail("No guest here uses VMX.", "Load kvm_intel with nested=1.");
    });
    RawClient refused(refusing.connect());
    EXPECT_EQ(refused.ask("qSupported"), "E.No guest here uses VMX. Load kvm_intel with nested=1.");
    EXPECT_EQ(refused.receive(), "");
}

TEST_F(ServerTest, ARunThatFailsEndsWithItsSentence) {
    script->resume_error = "The module #1 is gone.";
    start_as_gdb();
    EXPECT_EQ(client->ask("vCont;c"), "E.The module  1 is gone.");  // gdb shows escapes as they come
    client->ask("qSupported:multiprocess+;vmx+");
    EXPECT_EQ(client->ask("vCont;c"), "T00vmxwhy:failed;vmxtext:" + to_hex("The module #1 is gone.") + ";");
}

TEST_F(ServerTest, AnswersWhatLldbAsks) {
    start();
    EXPECT_EQ(client->ask("qHostInfo").substr(0, 7), "triple:");
    EXPECT_EQ(client->ask("qProcessInfo").substr(0, 13), "pid:1;triple:");
    EXPECT_EQ(client->ask("QEnableErrorStrings"), "OK");
    EXPECT_EQ(client->ask("qThreadStopInfo2"), "T00thread:2;");
    EXPECT_EQ(client->ask("qThreadStopInfo9"), "E01;" + to_hex("The guest has no vCPU 8."));
    EXPECT_EQ(client->ask("T9"), "E01;" + to_hex("The guest has no vCPU 8."));
    client->ask("?");
    EXPECT_EQ(client->ask("qThreadStopInfo1"), "T05thread:1;vmxwhy:attached;vmxseq:0;");
}

TEST_F(ServerTest, MonitorAnswersInWords) {
    start_as_gdb();
    EXPECT_NE(ask_monitor("help").find("monitor pdptr"), std::string::npos);
    EXPECT_NE(ask_monitor("info").find("process 4711"), std::string::npos);
    EXPECT_NE(ask_monitor("info").find("vCPU 1: held before its next VM-entry"), std::string::npos);
    EXPECT_EQ(ask_monitor("pdptr"), "This vCPU has come to no transition yet. Step first: stepi.\n");
    EXPECT_EQ(ask_monitor("dance"), "There is no command 'monitor dance'. See: monitor help.\n");
    EXPECT_EQ(ask_monitor("step sideways"),
              "There is no step 'sideways'. The steps are: transition, nested, entry, exit.\n");
    EXPECT_EQ(ask_monitor("stepi entry"), "stepi now runs to the next nested entry.\n");
    EXPECT_EQ(client->ask("vCont;s:p1.1"), "T05thread:p1.1;vmxwhy:transition;vmxseq:2;");
    EXPECT_NE(ask_monitor("pdptr").find("0x103001"), std::string::npos);
    EXPECT_NE(ask_monitor("fields GUEST_CR3").find("0x3002"), std::string::npos);
    EXPECT_NE(ask_monitor("fields (").find("'('"), std::string::npos);
    EXPECT_NE(ask_monitor("fields " + std::string(50000, '(')).find("more than 200"), std::string::npos);
}

TEST_F(ServerTest, ALongMonitorAnswerComesInPieces) {
    script->notes =
        std::vector<std::string>(5000, "A probe could not be placed, and this says at length why that is so.");
    start();
    const std::string last = ask_monitor("info");
    const std::string all = client->console() + last;
    EXPECT_GT(all.size(), 300000u);
    EXPECT_TRUE(all.ends_with("that is so.\n"));
}

TEST_F(ServerTest, MonitorStepStepsAndTellsHowGdbIsToNotice) {
    start_as_gdb();
    const std::string text = ask_monitor("  step   exit ");
    EXPECT_NE(text.find("nested-exit"), std::string::npos) << text;
    EXPECT_NE(text.find("maintenance flush register-cache"), std::string::npos) << text;
    EXPECT_EQ(client->ask("?"), "T05thread:p1.1;vmxwhy:transition;vmxseq:5;");
}

TEST_F(ServerTest, ServesTheOneConnectionItIsGiven) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    std::atomic<bool> stop{false};
    std::thread serving([&, fd = ends[0]] {
        Server one([&]() -> Result<std::unique_ptr<Target>> { return test::make_scripted_target(script); });
        EXPECT_TRUE(one.serve_connection(Fd(fd), stop));
    });
    RawClient other{Fd(ends[1])};
    EXPECT_EQ(other.ask("qAttached"), "1");
    stop = true;
    serving.join();
    EXPECT_EQ(script->detached, 1);
}

TEST_F(ServerTest, MemoryIsOfTheLevelThatRunsAndE01WhereNoneIs) {
    start_as_gdb();
    std::string expected;
    for (unsigned i = 0; i < 8; ++i) expected += static_cast<char>(test::example_byte(Space::L1Linear, 0x400010 + i));
    EXPECT_EQ(client->ask("m400010,8"), to_hex(expected));
    for (const char* bad : {"m1000,8", "m", "m400010", "m400010,", "m400010,0", "m400010,ffffffffffffffff", "mx,8", "m41fff8,10"})
        EXPECT_EQ(client->ask(bad), "E01") << bad;
}

TEST_F(ServerTest, MalformedNamesOfMemoryAndWalksAreRefusedInWords) {
    start_as_gdb();
    for (const char* bad : {"memory/", "memory/0", "memory/0/l2-phys/400000", "memory/0/l3-phys/400000/10", "memory/x/l2-phys/400000/10",
                            "memory/0/l2-phys/400000/0", "memory/0/l2-phys/400000/10001", "memory/0/l2-phys/zz/10",
                            "memory/4294967296/l2-phys/400000/10", "memory/0/l2-phys/400000/10/1", "ept02/", "ept02/0", "ept02/0/xyz",
                            "ept02//1", "msr-bitmap/0", "msr-bitmap/0/vmcs12", "msr-bitmap/x/vmcs01"})
        EXPECT_TRUE(client->ask(fmt::format("qXfer:vmx:read:{}:0,100", bad)).starts_with("E.")) << bad;
    EXPECT_EQ(client->ask("qXfer:vmx:read:memory/0/l1-phys/400000/1:0,100").substr(0, 1), "l");
}

TEST_F(ServerTest, TheScopeOfEvidenceIsSetByNameAndByMonitor) {
    start_as_gdb();
    EXPECT_EQ(client->ask("QVmxEvidence:all"), "OK");
    EXPECT_EQ(client->ask("QVmxEvidence:none"), "OK");
    EXPECT_TRUE(client->ask("QVmxEvidence:some").starts_with("E."));
    EXPECT_TRUE(client->ask("QVmxEvidence:").starts_with("E."));
    EXPECT_NE(from_hex(client->ask("qRcmd," + to_hex("evidence pdptr")))->find("pdptr"), std::string::npos);
    EXPECT_NE(from_hex(client->ask("qRcmd," + to_hex("evidence")))->find("none, pdptr, all"), std::string::npos);
}

}  // namespace
}  // namespace vmxscope::core::rsp
