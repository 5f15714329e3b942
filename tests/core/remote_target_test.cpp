// RemoteTarget against our own Server, and against servers that lie.
#include "core/rsp/remote_target.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>

#include "core/rsp/codec.h"
#include "core/rsp/objects.h"
#include "core/rsp/packet.h"
#include "nested/transition_codec.h"
#include "scripted_target.h"

namespace vmxscope::core::rsp {
namespace {

using nested::Kind;
using test::RawClient;
using test::RunningServer;
using test::Script;

constexpr auto kLong = std::chrono::milliseconds(20000);

class RemoteTargetTest : public testing::Test {
  protected:
    void attach(std::string endpoint = {}) {
        server.emplace([s = script]() -> Result<std::unique_ptr<Target>> { return test::make_scripted_target(s); },
                       endpoint);
        auto attached = attach_remote(server->endpoint().text(), "my:name", nullptr);
        ASSERT_TRUE(attached) << attached.error().text();
        target = std::move(*attached);
    }
    Stop wait_for_stop() {
        const auto stop = target->wait(kLong);
        EXPECT_TRUE(stop) << stop.error().text();
        EXPECT_TRUE(stop && *stop) << "no stop came";
        return stop && *stop ? **stop : Stop{};
    }
    void expect_stop(Stop::Why why, std::uint32_t vcpu, std::uint64_t seq) {
        const Stop stop = wait_for_stop();
        EXPECT_EQ(stop.why, why);
        EXPECT_EQ(stop.vcpu, vcpu);
        EXPECT_EQ(stop.seq, seq);
    }

    std::shared_ptr<Script> script = [] {
        auto s = std::make_shared<Script>();
        s->vcpus = 2;
        s->kinds = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry};
        return s;
    }();
    std::optional<RunningServer> server;
    std::unique_ptr<Target> target;
};

TEST_F(RemoteTargetTest, ShowsWhatTheServersTargetShows) {
    attach();
    EXPECT_EQ(target->info().name, "my:name");
    EXPECT_EQ(target->info().kernel, "6.1.0-test");
    EXPECT_EQ(target->info().pid, 4711u);
    EXPECT_EQ(target->info().notes, std::vector<std::string>{"One probe was left out."});
    const auto vcpus = target->vcpus();
    ASSERT_TRUE(vcpus) << vcpus.error().text();
    ASSERT_EQ(vcpus->size(), 2u);
    EXPECT_EQ((*vcpus)[1].tid, 101u);
    EXPECT_EQ(target->history()->last, 0u);
}

TEST_F(RemoteTargetTest, TheFirstStopIsTheAttach) {
    attach();
    EXPECT_TRUE(target->vcpus());  // also while that stop has not been taken
    expect_stop(Stop::Why::Attached, 0, 0);
    const auto none = target->wait(std::chrono::milliseconds(1));
    ASSERT_TRUE(none);
    EXPECT_FALSE(*none);
}

TEST_F(RemoteTargetTest, StepsByEveryKindAndReadsTheSameTransitions) {
    attach("tcp:127.0.0.1:0");
    expect_stop(Stop::Why::Attached, 0, 0);
    std::uint64_t seq = 0;
    for (const auto& [kind, stops_at] :
         {std::pair{StepKind::Transition, 1u}, {StepKind::Exit, 5u}, {StepKind::Entry, 8u}, {StepKind::Nested, 11u}}) {
        const auto resumed = target->resume({{0, kind}});
        ASSERT_TRUE(resumed) << resumed.error().text();
        expect_stop(Stop::Why::Transition, 0, stops_at);
        while (seq < stops_at) {
            const auto t = target->transition(++seq);
            ASSERT_TRUE(t) << t.error().text();
            EXPECT_EQ(*t, test::example_transition(seq, 0, script->kinds[(seq - 1) % 6]));
        }
    }
    EXPECT_EQ(target->history()->last, 11u);
    EXPECT_EQ((*target->vcpus())[0].last_seq, 11u);
}

TEST_F(RemoteTargetTest, StepsOneVcpuWhileTheOtherRuns) {
    attach();
    wait_for_stop();
    ASSERT_TRUE(target->resume({{1, StepKind::Transition}, {}}));
    expect_stop(Stop::Why::Transition, 1, 1);
    const std::lock_guard lock(script->mutex);
    ASSERT_EQ(script->resumed.back().size(), 2u);
    EXPECT_EQ(script->resumed.back()[0].vcpu, 1u);
    EXPECT_EQ(script->resumed.back()[1].step, std::nullopt);
}

TEST_F(RemoteTargetTest, RunsAndIsInterruptedAndAnswersMeanwhile) {
    attach();
    wait_for_stop();
    ASSERT_TRUE(target->resume({{}}));
    EXPECT_FALSE(*target->wait(std::chrono::milliseconds(20)));
    EXPECT_EQ((*target->vcpus())[0].state, VcpuState::Running);
    EXPECT_FALSE(target->resume({{}}));  // runs already
    ASSERT_TRUE(target->interrupt());
    expect_stop(Stop::Why::Interrupted, 0, 0);
    EXPECT_EQ((*target->vcpus())[0].state, VcpuState::Held);
    EXPECT_TRUE(target->interrupt());  // nothing runs: nothing happens
    EXPECT_FALSE(*target->wait(std::chrono::milliseconds(20)));
}

TEST_F(RemoteTargetTest, AStopThatCrossesAQuestionIsNotLost) {
    attach();
    wait_for_stop();
    for (std::uint64_t i = 1; i <= 50; ++i) {
        ASSERT_TRUE(target->resume({{0, StepKind::Transition}}));
        ASSERT_TRUE(target->vcpus());  // its answer may come before or after the stop
        expect_stop(Stop::Why::Transition, 0, i);
    }
}

TEST_F(RemoteTargetTest, TellsHowTheGuestEnded) {
    script->ends_after = 1;
    attach();
    wait_for_stop();
    ASSERT_TRUE(target->resume({{0, StepKind::Transition}}));
    wait_for_stop();
    ASSERT_TRUE(target->resume({{0, StepKind::Transition}}));
    const Stop end = wait_for_stop();
    EXPECT_EQ(end.why, Stop::Why::GuestGone);
    EXPECT_EQ(end.text, "QEMU ended with status 0.");
}

TEST_F(RemoteTargetTest, ARefusalComesThroughInItsOwnWords) {
    attach();
    wait_for_stop();
    EXPECT_EQ(target->transition(99).error().what, "Transition 99 is not kept any more.");
    script->resume_error = "The module is gone: #$}*.";
    ASSERT_TRUE(target->resume({{}}));
    EXPECT_EQ(target->wait(kLong).error().what, "The module is gone: #$}*.");
    EXPECT_TRUE(target->vcpus());  // and the connection lives on
}

TEST_F(RemoteTargetTest, OneResumeTakesOneKindOfStep) {
    attach();
    wait_for_stop();
    EXPECT_FALSE(target->resume({{0, StepKind::Entry}, {1, StepKind::Exit}}));
    EXPECT_FALSE(target->resume({}));
}

TEST_F(RemoteTargetTest, DetachLetsTheGuestGo) {
    attach();
    wait_for_stop();
    EXPECT_TRUE(target->detach());
    EXPECT_EQ(script->detached, 1);
    EXPECT_TRUE(target->detach());  // once is enough
    EXPECT_FALSE(target->resume({{}}));
}

TEST_F(RemoteTargetTest, SoDoesItsEnd) {
    attach();
    target.reset();
    EXPECT_EQ(script->detached, 1);
}

TEST_F(RemoteTargetTest, ASecondClientLooksOnAndIsToldWhoDrives) {
    attach();
    wait_for_stop();
    const auto second = attach_remote(server->endpoint().text(), "", nullptr);
    ASSERT_TRUE(second) << second.error().text();
    EXPECT_NE((*second)->info().notes.back().find("drives this guest; this connection only looks."), std::string::npos);
    EXPECT_FALSE((*second)->can(Ability::Back));
    const auto first = (*second)->wait(kLong);
    ASSERT_TRUE(first && *first) << first.error().text();
    EXPECT_EQ((*second)->vcpus()->size(), target->vcpus()->size());
    ASSERT_TRUE((*second)->resume({{}}));
    const auto refused = (*second)->wait(kLong);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().what.find("drives this guest"), std::string::npos) << refused.error().what;
    EXPECT_TRUE((*second)->detach());
    EXPECT_EQ(script->detached, 0);
}

TEST_F(RemoteTargetTest, AServerThatGoesIsALostConnectionAndNothingElse) {
    attach();
    wait_for_stop();
    server.reset();
    for (const auto& error : {target->vcpus().error(), target->wait(kLong).error(), target->resume({{}}).error(),
                              target->interrupt().error()}) {
        EXPECT_NE(error.what.find("The connection to unix:"), std::string::npos) << error.what;
        EXPECT_NE(error.what.find("was lost"), std::string::npos) << error.what;
        EXPECT_FALSE(error.remedy.empty());
    }
    EXPECT_TRUE(target->detach());
}

TEST_F(RemoteTargetTest, AttachingCanBeGivenUp) {
    // Whoever connects to this waits until the gate opens.
    std::atomic<bool> gate{false};
    const RunningServer slow([&]() -> Result<std::unique_ptr<Target>> {
        while (!gate) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        return fail("too late");
    });
    int asked = 0;
    const auto given_up =
        attach_remote(slow.endpoint().text(), "", [&](std::string_view, double) { return ++asked < 3; });
    gate = true;
    ASSERT_FALSE(given_up);
    EXPECT_NE(given_up.error().what.find("was given up"), std::string::npos);
}

/// A server that answers each packet with what a function says, and closes when that says nothing.
class LyingServer {
  public:
    using Answers = std::function<std::optional<std::string>(const std::string&)>;

    explicit LyingServer(Answers answers) {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        client_ = Fd(ends[0]);
        thread_ = std::thread([answers = std::move(answers), fd = ends[1]] {
            RawClient peer{Fd(fd)};
            for (std::string packet = peer.receive(); !packet.empty(); packet = peer.receive()) {
                const auto answer = answers(packet);
                if (!answer) return;
                peer.send_raw(*answer);
            }
        });
    }
    ~LyingServer() { thread_.join(); }

    Result<std::unique_ptr<Target>> attach() { return attach_remote(std::move(client_), "liar", "liar", nullptr); }
    Fd& client() { return client_; }

  private:
    Fd client_;
    std::thread thread_;
};

/// What a truthful server answers while a client attaches.
std::string honest(const std::string& packet) {
    if (packet.starts_with("qSupported")) return "+" + frame("PacketSize=20000;vmx+");
    if (packet.starts_with("qXfer:vmx:read:abilities")) return "+" + frame("l" + abilities_text({Ability::Transitions}));
    if (packet.starts_with("qXfer:vmx:read:info")) return "+" + frame("l" + info_text({"n", "k", "c", 1, "a", "h", 1, {}}));
    if (packet == "?") return "+" + frame("T05thread:p1.1;vmxwhy:attached;vmxseq:0;");
    return "+" + frame("OK");
}

void expect_no_attach(LyingServer::Answers answers, std::string_view words) {
    LyingServer liar(std::move(answers));
    const auto target = liar.attach();
    ASSERT_FALSE(target);
    EXPECT_NE(target.error().what.find(words), std::string::npos) << target.error().text();
    liar.client().reset();
}

TEST(LyingServers, AnotherProtocolOrProgramIsRecognised) {
    expect_no_attach([](auto&) { return "SSH-2.0-OpenSSH_9.2p1\r\n"; }, "does not speak the GDB remote protocol");
    expect_no_attach([](auto&) { return frame("PacketSize=1000;qXfer:features:read+"); }, "is no vmxscope agent");
    expect_no_attach([](auto&) { return frame(""); }, "is no vmxscope agent");
    expect_no_attach([](auto&) { return std::nullopt; }, "closed the connection without a word");
    expect_no_attach([](auto&) { return frame("E.Go away."); }, "Go away.");
    expect_no_attach([](auto& p) { return p.starts_with("qXfer") ? frame("l{\"name\":1}") : honest(p); },
                     "'info' cannot be read");
    expect_no_attach([](auto& p) { return p.starts_with("qXfer") ? frame("m") : honest(p); }, "no piece of an object");
    expect_no_attach([](auto& p) { return p.starts_with("qXfer") ? frame("m" + std::string(100000, ' ')) : honest(p); },
                     "is longer than");
    expect_no_attach([](auto& p) { return p.starts_with("qXfer") ? frame("T05thread:p1.1;") : honest(p); },
                     "stop reply that nobody asked for");
}

/// Attaches, takes the first stop, reads transition 5 from an `answer`, and expects an error with `words` in it.
void expect_bad_transition(const std::string& answer, std::string_view words) {
    LyingServer liar(
        [&](const std::string& p) { return p.starts_with("qXfer:vmx:read:transition") ? frame(answer) : honest(p); });
    auto target = liar.attach();
    ASSERT_TRUE(target) << target.error().text();
    ASSERT_TRUE((*target)->wait(kLong));
    const auto t = (*target)->transition(5);
    ASSERT_FALSE(t);
    EXPECT_NE(t.error().what.find(words), std::string::npos) << t.error().text();
}

TEST(LyingServers, ABadTransitionIsRefused) {
    expect_bad_transition("l", "cannot be read");
    expect_bad_transition("lgarbage", "cannot be read");
    expect_bad_transition("l" + nested::encode(test::example_transition(6, 0, Kind::L1Exit)), "sent transition 6");
    expect_bad_transition("l" + nested::encode(test::example_transition(5, 0, Kind::L1Exit)).substr(0, 100),
                          "cannot be read");
    expect_bad_transition("E01", "the error 'E01'");
    expect_bad_transition("", "no piece of an object");
}

/// A stop with a transition in it; and what else was asked for.
struct Delivered {
    explicit Delivered(const std::string& data)
        : server([this, data](const std::string& p) {
              if (p.starts_with("qXfer:vmx:read:transition")) ++asked;
              return p == "?" ? "+" + frame("T05thread:p1.1;vmxwhy:transition;vmxseq:5;vmxdata:" + data) : honest(p);
          }) {}
    std::atomic<int> asked{0};
    LyingServer server;
};

TEST(LyingServers, ATransitionThatCameWithItsStopIsNotAskedForAgain) {
    const auto sent = test::example_transition(5, 0, Kind::L1Exit);
    Delivered here(nested::encode(sent));
    auto target = here.server.attach();
    ASSERT_TRUE(target) << target.error().text();
    ASSERT_TRUE((*target)->wait(kLong));
    EXPECT_EQ((*target)->transition(5), sent);
    EXPECT_EQ(here.asked, 0);
    EXPECT_FALSE((*target)->transition(6));
    EXPECT_EQ(here.asked, 1);
}

TEST(LyingServers, ABadTransitionWithAStopIsRefused) {
    for (const auto& data : {std::string("garbage"), nested::encode(test::example_transition(6, 0, Kind::L1Exit))}) {
        Delivered here(data);
        auto target = here.server.attach();
        ASSERT_TRUE(target) << target.error().text();
        EXPECT_FALSE((*target)->wait(kLong));
    }
}

TEST(LyingServers, ABadStopReplyIsAnErrorOfWait) {
    LyingServer liar(
        [](const std::string& p) { return p == "?" ? frame("T05thread:p1.-1;vmxwhy:attached;vmxseq:0;") : honest(p); });
    auto target = liar.attach();
    ASSERT_TRUE(target);
    EXPECT_NE((*target)->wait(kLong).error().what.find("makes no sense"), std::string::npos);
}

TEST(LyingServers, AGarbledPacketWithoutAcksIsAClearError) {
    LyingServer liar([](const std::string& p) {
        if (p.starts_with("qSupported")) return "+" + frame("vmx+;QStartNoAckMode+");
        return p.starts_with("qXfer:vmx:read:vcpus") ? std::string("$l[]#00") : honest(p);
    });
    auto target = liar.attach();
    ASSERT_TRUE(target) << target.error().text();
    const auto vcpus = (*target)->vcpus();
    ASSERT_FALSE(vcpus);
    EXPECT_NE(vcpus.error().what.find("was garbled: a packet's checksum is 00"), std::string::npos)
        << vcpus.error().text();
    EXPECT_FALSE(vcpus.error().remedy.empty());
}

TEST_F(RemoteTargetTest, TheScopeOfEvidenceIsThatOfTheNextTransition) {
    attach();
    wait_for_stop();
    ASSERT_TRUE(target->set_evidence(nested::EvidenceScope::All));
    ASSERT_EQ(target->info().notes.size(), 2u) << "what could not be probed is known only then";
    EXPECT_EQ(target->info().name, "my:name");
    ASSERT_TRUE(target->resume({{std::nullopt, StepKind::Transition}}));
    const auto t = target->transition(wait_for_stop().seq);
    ASSERT_TRUE(t);
    EXPECT_EQ(t->evidence_scope, nested::EvidenceScope::All);
}

TEST_F(RemoteTargetTest, CapabilitiesOfBothLevelsCross) {
    attach();
    const auto c = target->capabilities();
    ASSERT_TRUE(c) << c.error().text();
    const TargetCapabilities expected = test::example_capabilities();
    EXPECT_EQ(c->l0, expected.l0);
    EXPECT_EQ(c->l1, expected.l1);
    EXPECT_FALSE(c->l1[vmx::CapabilityMsr::Basic].known());
}

TEST_F(RemoteTargetTest, MemoryOfEverySpaceCrossesAsItIsInPiecesToo) {
    attach();
    wait_for_stop();
    for (const Space space : {Space::L1Physical, Space::L1Linear, Space::L2Physical, Space::L2Linear})
        for (const std::size_t size : {std::size_t{1}, std::size_t{4097}, kMostMemory}) {
            const auto bytes = target->read_memory(1, space, test::kMappedFrom + 5, size);
            ASSERT_TRUE(bytes) << bytes.error().text();
            ASSERT_EQ(bytes->size(), size);
            for (std::size_t i = 0; i < size; ++i)
                ASSERT_EQ((*bytes)[i], test::example_byte(space, test::kMappedFrom + 5 + i)) << i;
        }
}

TEST_F(RemoteTargetTest, MemoryThatIsNotMappedOrTooMuchOfItIsRefusedWithTheTargetsSentence) {
    attach();
    wait_for_stop();
    const auto hole = target->read_memory(0, Space::L2Linear, 0x1000, 8);
    ASSERT_FALSE(hole);
    EXPECT_NE(hole.error().what.find("l2-linear address 0x1000"), std::string::npos) << hole.error().what;
    EXPECT_FALSE(target->read_memory(0, Space::L2Linear, test::kMappedFrom, kMostMemory + 1));
    EXPECT_FALSE(target->read_memory(0, Space::L2Linear, test::kMappedFrom, 0));
    EXPECT_FALSE(target->read_memory(9, Space::L2Linear, test::kMappedFrom, 8));
    EXPECT_TRUE(target->read_memory(0, Space::L2Linear, test::kMappedFrom, 8)) << "the connection goes on";
}

TEST_F(RemoteTargetTest, AWalkThroughEpt02Crosses) {
    attach();
    wait_for_stop();
    const auto steps = target->ept02_walk(0, 0x40000000);
    ASSERT_TRUE(steps) << steps.error().text();
    EXPECT_EQ(*steps, (std::vector<vmx::WalkStep>{{4, 0x1000, 0x2007}, {3, 0x2008, 0}}));
}

TEST_F(RemoteTargetTest, TheMsrBitmapsOfBothHardwareVmcssCross) {
    attach();
    wait_for_stop();
    const auto of01 = target->msr_bitmap(0, Target::HardwareVmcs::Vmcs01), of02 = target->msr_bitmap(0, Target::HardwareVmcs::Vmcs02);
    ASSERT_TRUE(of01) << of01.error().text();
    ASSERT_TRUE(of02) << of02.error().text();
    EXPECT_EQ(*of01, std::vector<std::byte>(4096, std::byte{0xff}));
    EXPECT_EQ(*of02, std::vector<std::byte>(4096, std::byte{0x0f}));
}

TEST(Objects, CapabilitiesThatMakeNoSenseAreRefused) {
    const std::string good = capabilities_text(test::example_capabilities());
    ASSERT_TRUE(parse_capabilities(good));
    const std::string one = R"({"msrs":{},"maxphyaddr":46,"linear_bits":48})";
    for (const std::string& bad : {
             std::string(""), std::string("[]"), std::string(R"({"l0":{}})"), R"({"l0":)" + one + "}",
             R"({"l0":)" + one + R"(,"l1":{"msrs":{},"maxphyaddr":99,"linear_bits":48}})",
             R"({"l0":)" + one + R"(,"l1":{"msrs":{},"maxphyaddr":46,"linear_bits":64}})",
             R"({"l0":)" + one + R"(,"l1":{"msrs":{"IA32_VMX_BASIC":7},"maxphyaddr":46,"linear_bits":48}})",
             R"({"l0":)" + one + R"(,"l1":{"msrs":{"IA32_VMX_BASIC":"7"},"maxphyaddr":46,"linear_bits":48}})",
             R"({"l0":)" + one + R"(,"l1":{"msrs":[1],"maxphyaddr":46,"linear_bits":48}})",
             R"({"l0":)" + one + R"(,"l1":{"maxphyaddr":46,"linear_bits":48}})",
         })
        EXPECT_FALSE(parse_capabilities(bad)) << bad;
    EXPECT_TRUE(parse_capabilities(R"({"l0":)" + one + R"(,"l1":)" + one + "}"));
}

TEST(Objects, WalksThatMakeNoSenseAreRefused) {
    for (const char* bad : {"", "{}", "[1]", R"([{"level":0,"address":"0x0","entry":"0x0"}])",
                            R"([{"level":6,"address":"0x0","entry":"0x0"}])", R"([{"level":1,"address":"0","entry":"0x0"}])",
                            R"([{"level":1,"address":"0x11112222333344445","entry":"0x0"}])", R"([{"level":1,"address":"0x0"}])"})
        EXPECT_FALSE(parse_walk(bad)) << bad;
    const std::vector<vmx::WalkStep> six(6, {1, 0, 0});
    EXPECT_FALSE(parse_walk(walk_text(six)));
    EXPECT_EQ(parse_walk("[]")->size(), 0u);
}

}  // namespace
}  // namespace vmxscope::core::rsp
