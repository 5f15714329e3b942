// Whatever bytes come, neither side crashes, hangs, or leaves a vCPU held. Built with sanitizers this is the fuzz test.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <random>

#include "core/rsp/codec.h"
#include "core/rsp/objects.h"
#include "core/rsp/remote_target.h"
#include "nested/transition_codec.h"
#include "scripted_target.h"

namespace vmxscope::core::rsp {
namespace {

using nested::Kind;
using test::RawClient;
using test::RunningServer;
using test::Script;
using Random = std::minstd_rand;

/// A few bits turned over, bytes left out, bytes put in.
std::string damaged(std::string bytes, Random& random) {
    for (auto n = random() % 4; n > 0 && !bytes.empty(); --n) {
        const std::size_t at = random() % bytes.size();
        switch (random() % 3) {
            case 0:
                bytes[at] = static_cast<char>(bytes[at] ^ 1 << random() % 8);
                break;
            case 1:
                bytes.erase(at, 1 + random() % 3);
                break;
            default:
                bytes.insert(at, 1, static_cast<char>(random()));
        }
    }
    return bytes;
}

const std::vector<std::string> kPackets = {"qSupported:multiprocess+;vmx+",
                                           "qSupported:",
                                           "vMustReplyEmpty",
                                           "?",
                                           "qfThreadInfo",
                                           "qC",
                                           "Hgp1.2",
                                           "Hcp1.-1",
                                           "Tp1.1",
                                           "g",
                                           "p10",
                                           "pffffffff",
                                           "m0,8",
                                           "P10=00",
                                           "vCont?",
                                           "vCont;s:p1.1;c:p1.-1",
                                           "vCont;c",
                                           "s",
                                           "c",
                                           "vCtrlC",
                                           "QVmxStep:exit",
                                           "qXfer:features:read:target.xml:0,20000",
                                           "qXfer:features:read:target.xml:ffffffffffffffff,ffffffffffffffff",
                                           "qXfer:vmx:read:transition/1:0,ffff",
                                           "qXfer:vmx:read:vcpus:0,ffff",
                                           "qXfer:threads:read::0,ffff",
                                           "qThreadExtraInfo,p1.1",
                                           "qRcmd,6669656c6473202e2a",
                                           "qRcmd,7064707472",
                                           "QNonStop:1",
                                           "qHostInfo",
                                           "QEnableErrorStrings",
                                           "qThreadStopInfo1",
                                           "QThreadSuffixSupported",
                                           "QListThreadsInStopReply",
                                           "p10;thread:0001;",
                                           "g;thread:2;",
                                           "jThreadsInfo",
                                           "jThreadExtendedInfo:{\"thread\":1}",
                                           "qMemoryRegionInfo:400000",
                                           "x400000,100",
                                           "m41fff0,20",
                                           "qSearch:memory:400000;20000;\x01\x08\x0f",
                                           "Qqemu.PhyMemMode:1",
                                           "qqemu.PhyMemMode",
                                           "qRcmd,7370616365206c322d70687973",
                                           "qRcmd,68656c70207370616365",
                                           "qXfer:vmx:read:json/1:0,ffff",
                                           "qXfer:osdata:read:processes:0,ffff",
                                           "qXfer:osdata:read:threads:0,ffff",
                                           "qVmxStep",
                                           "qSymbol::",
                                           "vKill;1",
                                           "QStartNoAckMode",
                                           "D;1",
                                           "k"};

std::string random_input(Random& random) {
    std::string input;
    for (auto n = 1 + random() % 30; n > 0; --n) {
        // Damage before framing reaches the commands; damage after it, the codec.
        const std::string payload = damaged(kPackets[random() % kPackets.size()], random);
        input += random() % 4 == 0 ? damaged(frame(payload), random) : frame(payload);
        if (random() % 10 == 0) input += "+-\x03#}"[random() % 5];
    }
    return input;
}

TEST(Garbage, SentToTheServerLeavesItServing) {
    auto script = std::make_shared<Script>();
    script->vcpus = 2;
    script->kinds = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Exit, Kind::NestedExit};
    const RunningServer server(script);
    Random random(2);
    for (int round = 0; round < 200; ++round) {
        RawClient client(server.connect());
        client.send_raw(random_input(random));
    }
    // The server may still be busy with those before.
    std::string answer;
    for (int i = 0; i < 100 && !answer.starts_with("PacketSize="); ++i)
        answer = RawClient(server.connect()).ask("qSupported");
    EXPECT_TRUE(answer.starts_with("PacketSize=")) << answer;
}

/// What an agent would answer.
std::string answer_to(std::string_view packet) {
    if (packet.starts_with("qSupported")) return "PacketSize=20000;vmx+";
    if (packet.starts_with("qXfer:vmx:read:abilities")) return "l" + abilities_text({Ability::Transitions});
    if (packet.starts_with("qXfer:vmx:read:info")) return "l" + info_text({"n", "k", "c", 1, "a", "h", 1, {"note"}});
    if (packet.starts_with("qXfer:vmx:read:vcpus")) return "l" + vcpus_text({{0, 1, VcpuState::Held, 1, 1}});
    if (packet.starts_with("qXfer:vmx:read:history")) return "l" + history_text({1, 1, 0});
    if (packet.starts_with("qXfer:vmx:read:transition"))
        return "l" + nested::encode(test::example_transition(1, 0, Kind::NestedEntry));
    if (packet == "?" || packet.starts_with("vCont")) return "T05thread:p1.1;vmxwhy:transition;vmxseq:1;";
    return "OK";
}

/// Attaches to a peer whose answers are damaged, and uses the Target for all it can do.
void use(Fd connection) {
    auto attached = attach_remote(std::move(connection), "peer", "", nullptr);
    if (!attached) {
        EXPECT_FALSE(attached.error().what.empty());
        return;
    }
    Target& target = **attached;
    for (int i = 0; i < 3; ++i) {
        (void)target.wait(std::chrono::milliseconds(5));
        (void)target.vcpus();
        (void)target.history();
        (void)target.transition(1);
        (void)target.resume({{0, StepKind::Exit}});
        (void)target.interrupt();
    }
}

TEST(Garbage, SentToTheClientIsAnErrorAndNothingWorse) {
    Random random(3);
    for (int round = 0; round < 200; ++round) {
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        std::thread liar([fd = ends[1], seed = random()] {
            Random own(seed);
            RawClient peer{Fd(fd)};
            // After an answer that may be no answer any more it goes, or soon after: then nobody waits for another.
            for (int i = 0; i < 12; ++i) {
                const std::string packet = peer.receive(std::chrono::milliseconds(200));
                if (packet.empty()) return;
                const std::string answer = own() % 5 == 0 ? damaged(answer_to(packet), own) : answer_to(packet);
                const bool last = own() % 15 == 0;
                peer.send_raw(last ? damaged(frame(answer), own) : frame(answer));
                if (last) return;
            }
        });
        use(Fd(ends[0]));
        liar.join();
    }
}

}  // namespace
}  // namespace vmxscope::core::rsp
