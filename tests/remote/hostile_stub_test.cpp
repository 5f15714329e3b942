// Stubs that answer too much, nonsense, or nothing.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <random>

#include "core/rsp/client.h"
#include "core/rsp/codec.h"
#include "plugins/remote/gdb_target.h"
#include "plugins/remote/target_description.h"
#include "tests/core/scripted_target.h"

namespace vmxscope::remote {
namespace {

using namespace core;
using core::rsp::frame;
using core::test::RawClient;

constexpr auto kLong = std::chrono::milliseconds(20000);

constexpr std::string_view kDescription =
    "<target><feature name='c'><reg name='rax' bitsize='64'/><reg name='rip' bitsize='64'/></feature></target>";

/// What a small honest stub says.
std::string honest(const std::string& packet) {
    if (packet.starts_with("qSupported")) return "PacketSize=1000;qXfer:features:read+";
    if (packet.starts_with("qXfer:features:read:target.xml:0,")) return "l" + std::string(kDescription);
    if (packet == "vCont?") return "vCont;c;C;s;S";
    if (packet == "qfThreadInfo") return "m1,2";
    if (packet == "qsThreadInfo") return "l";
    if (packet == "?" || packet.starts_with("vCont;")) return "T05thread:1;";
    if (packet == "g") return "01000000000000000200000000000000";
    if (packet.starts_with("m")) return std::string(32, '0');
    if (packet.starts_with("qqemu")) return "";
    return "OK";
}

/// Answers each packet with what a function says; with nothing when that says so, and then no more.
class Stub {
  public:
    using Answers = std::function<std::optional<std::string>(const std::string&)>;
    /// Goes when nothing comes for so long.
    explicit Stub(Answers answers, std::chrono::milliseconds patience = std::chrono::seconds(10)) {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        client_ = Fd(ends[0]);
        thread_ = std::thread([answers = std::move(answers), patience, fd = ends[1]] {
            RawClient peer{Fd(fd)};
            for (std::string packet = peer.receive(patience); !packet.empty(); packet = peer.receive(patience)) {
                const auto answer = answers(packet);
                if (!answer) return;
                peer.send_raw("+" + frame(*answer));
            }
        });
    }
    ~Stub() {
        client_.reset();
        thread_.join();
    }
    Result<std::unique_ptr<Target>> attach(const Progress& progress = nullptr) {
        rsp::Client client(std::move(client_), "the stub", progress);
        if (auto greeted = client.greet(); !greeted) return tl::unexpected(greeted.error());
        return attach_gdb_stub(std::move(client), "stub");
    }

  private:
    Fd client_;
    std::thread thread_;
};

/// As the honest one, but to packets that begin like this.
Stub::Answers but(std::string begin, std::string answer) {
    return [=](const std::string& p) { return p.starts_with(begin) ? answer : honest(p); };
}

TEST(HonestStub, IsWhatTheOthersDifferFrom) {
    Stub stub(honest);
    auto target = stub.attach();
    ASSERT_TRUE(target) << target.error().text();
    EXPECT_EQ((*(*target)->wait(kLong))->why, Stop::Why::Attached);
    EXPECT_EQ((*target)->registers(1)->at(1).name, "rip");
    EXPECT_EQ((*target)->read_memory(0, Space::L1Linear, 0, 16)->size(), 16u);
    EXPECT_TRUE((*target)->resume({{0, StepKind::Instruction}}));
    EXPECT_EQ((*(*target)->wait(kLong))->why, Stop::Why::Instruction);
}

TEST(HostileStub, WhoseThreadsMakeNoSenseIsNotAttachedTo) {
    std::string many = "m1";
    for (int i = 2; i < 10000; ++i) many += "," + std::to_string(i);
    for (const std::string& answer :
         {std::string("mp1.zz"), std::string("m"), std::string("hello"), many, std::string("m1,")}) {
        Stub stub(but("qfThreadInfo", answer));
        const auto target = stub.attach();
        if (answer == "m1,") continue;  // a comma at the end is no harm
        ASSERT_FALSE(target) << answer.substr(0, 20);
        EXPECT_NE(target.error().what.find("list of threads makes no sense"), std::string::npos);
    }
    Stub endless(but("qsThreadInfo", "m3"));
    EXPECT_FALSE(endless.attach());
}

TEST(HostileStub, WhoseDescriptionIsBadIsTakenForAnyX86) {
    for (const std::string& answer : {std::string("l<target>"), std::string("E01"), std::string("x"),
                                      "l" + std::string(3000, '<'), std::string("m ")}) {
        Stub stub(but("qXfer:features", answer));
        auto target = stub.attach();
        ASSERT_TRUE(target) << target.error().text();
        ASSERT_EQ((*target)->info().notes.size(), 2u);
        EXPECT_NE((*target)->info().notes[0].find("taken for those of x86-64"), std::string::npos);
        ASSERT_TRUE((*target)->wait(kLong));
        EXPECT_EQ((*target)->registers(0)->at(0).name, "rax");
    }
}

TEST(HostileStub, CannotMakeMoreOfMemoryThanWasAsked) {
    for (const std::string& answer :
         {std::string(2000, '0'), std::string("zz"), std::string("0"), std::string("E14"), std::string("")}) {
        Stub stub(but("m", answer));
        auto target = stub.attach();
        ASSERT_TRUE(target);
        ASSERT_TRUE((*target)->wait(kLong));
        const auto bytes = (*target)->read_memory(0, Space::L1Linear, 0x1000, 16);
        ASSERT_FALSE(bytes);
        EXPECT_EQ(bytes.error().what, "Nothing is mapped at 0x1000.");
    }
}

TEST(HostileStub, MayStopWithNonsenseWhichIsAnErrorOfWait) {
    for (const std::string& answer : {std::string("T"), std::string("Tzzthread:1;"), std::string("W")}) {
        Stub stub(but("vCont;", answer));
        auto target = stub.attach();
        ASSERT_TRUE(target);
        ASSERT_TRUE((*target)->wait(kLong));
        ASSERT_TRUE((*target)->resume({{}}));
        const auto stop = (*target)->wait(kLong);
        ASSERT_FALSE(stop);
        EXPECT_NE(stop.error().what.find("makes no sense"), std::string::npos);
    }
}

TEST(HostileStub, ThatRefusesToRunIsNotTakenForRunning) {
    Stub stub(but("vCont;", "E22"));
    auto target = stub.attach();
    ASSERT_TRUE(target);
    ASSERT_TRUE((*target)->wait(kLong));
    ASSERT_TRUE((*target)->resume({{}}));
    EXPECT_NE((*target)->wait(kLong).error().what.find("'E22'"), std::string::npos);
    EXPECT_TRUE((*target)->registers(0)) << "it is held as before";
}

TEST(HostileStub, ThatIsSilentCanBeGivenUp) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const Fd silent(ends[1]);
    int asked = 0;
    rsp::Client client(Fd(ends[0]), "the silent one", [&](std::string_view, double) { return ++asked < 3; });
    const auto greeted = client.greet();
    ASSERT_FALSE(greeted);
    EXPECT_NE(greeted.error().what.find("was given up"), std::string::npos);
}

TEST(HostileStub, ThatVanishesAnywhereIsAnError) {
    for (int after = 0; after < 12; ++after) {
        int answered = 0;
        Stub stub([&](const std::string& p) -> std::optional<std::string> {
            if (answered++ == after) return std::nullopt;
            return honest(p);
        });
        auto target = stub.attach();
        if (!target) {
            EXPECT_FALSE(target.error().what.empty());
            continue;
        }
        (void)(*target)->wait(kLong);
        (void)(*target)->registers(0);
        (void)(*target)->resume({{}});
        const auto stop = (*target)->wait(kLong);
        EXPECT_TRUE(stop || !stop.error().what.empty());
    }
}

/// Now and then an answer with a few bytes changed or put in.
Stub::Answers garbage(unsigned seed) {
    return [own = std::minstd_rand(seed), left = 40](const std::string& p) mutable -> std::optional<std::string> {
        if (--left == 0) return std::nullopt;
        std::string answer = honest(p);
        for (auto n = own() % 8 == 0 ? 1 + own() % 4 : 0; n > 0 && !answer.empty(); --n) {
            const std::size_t at = own() % answer.size();
            if (own() % 2 == 0) {
                answer[at] = static_cast<char>(own());
            } else {
                answer.insert(at, own() % 3, static_cast<char>(own()));
            }
        }
        return answer;
    };
}

TEST(HostileStub, OfGarbageIsAnErrorAndNothingWorse) {
    std::minstd_rand random(7);
    for (int round = 0; round < 100; ++round) {
        Stub stub(garbage(static_cast<unsigned>(random())), std::chrono::milliseconds(50));
        auto target = stub.attach();
        if (!target) continue;
        for (int i = 0; i < 3; ++i) {
            (void)(*target)->wait(std::chrono::milliseconds(5));
            (void)(*target)->vcpus();
            (void)(*target)->registers(1);
            (void)(*target)->read_memory(0, Space::L1Linear, 0, 64);
            (void)(*target)->insert_breakpoint(2);
            (void)(*target)->resume({{0, StepKind::Instruction}});
        }
    }
}

}  // namespace
}  // namespace vmxscope::remote
