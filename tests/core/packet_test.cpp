#include "core/rsp/packet.h"

#include <gtest/gtest.h>

#include "core/rsp/codec.h"
#include "core/rsp/objects.h"

namespace vmxscope::core {

bool operator==(const Action& a, const Action& b) {
    return a.vcpu == b.vcpu && a.step == b.step;
}
bool operator==(const Stop& a, const Stop& b) {
    return a.why == b.why && a.vcpu == b.vcpu && a.seq == b.seq && a.text == b.text;
}

namespace rsp {
namespace {

using Which = ThreadId::Which;

TEST(ThreadIds, AreReadInEveryForm) {
    EXPECT_EQ(parse_thread("p1.2"), (ThreadId{Which::One, 1}));
    EXPECT_EQ(parse_thread("1f"), (ThreadId{Which::One, 0x1e}));
    EXPECT_EQ(parse_thread("p1.-1"), (ThreadId{Which::All}));
    EXPECT_EQ(parse_thread("p-1.-1"), (ThreadId{Which::All}));
    EXPECT_EQ(parse_thread("-1"), (ThreadId{Which::All}));
    EXPECT_EQ(parse_thread("p1"), (ThreadId{Which::All}));
    EXPECT_EQ(parse_thread("p1.0"), (ThreadId{Which::Any}));
    EXPECT_EQ(parse_thread("0"), (ThreadId{Which::Any}));
}

TEST(ThreadIds, MalformedOrOfAnotherProcessAreRefused) {
    for (const char* bad : {"", "p", "p2.1", "p1.", "p1.x", "1.2", "p1.1.1", "100000000", "p-1.2", "-2"})
        EXPECT_FALSE(parse_thread(bad)) << bad;
}

TEST(ThreadIds, AreWrittenAsTheyAreRead) {
    EXPECT_EQ(thread_text(0, true), "p1.1");
    EXPECT_EQ(thread_text(15, false), "10");
    EXPECT_EQ(thread_text(0xffffffff, false), "100000000");
}

TEST(VCont, TheLeftmostActionThatNamesAThreadCounts) {
    using enum ThreadAction::What;
    using Actions = std::vector<ThreadAction>;
    const auto actions = parse_vcont(";s:p1.2;c:p1.2;c;s");
    ASSERT_TRUE(actions);
    EXPECT_EQ(*actions, (Actions{{Step, 1}, {RunOn, {}}}));
    EXPECT_EQ(*parse_vcont(";c;s:p1.1"), (Actions{{RunOn, {}}}));
    EXPECT_EQ(*parse_vcont(";S05:1;C0b:p1.-1"), (Actions{{Step, 0}, {RunOn, {}}}));
    EXPECT_EQ(*parse_vcont(";t:p1.1;r1000,10ff:p1.2;c"), (Actions{{Stop, 0}, {Step, 1}, {RunOn, {}}}));
}

TEST(VCont, WhatIsNotUnderstoodIsRefused) {
    for (const char* bad : {"", ";", "s", ";t05", ";r1", ";r,2", ";r1,", ";r1,2,3", ";C", ";Cxx", ";s:p2.1", ";s:", ";;c", ";sc"})
        EXPECT_FALSE(parse_vcont(bad)) << bad;
}

TEST(VCont, IsReadAsItIsWritten) {
    const std::vector<Action> actions = {{std::nullopt, std::nullopt}, {1, StepKind::Exit}, {0, std::nullopt}};
    EXPECT_EQ(vcont_text(actions), "vCont;s:p1.2;c:p1.1;c:p1.-1");
    using enum ThreadAction::What;
    EXPECT_EQ(*parse_vcont(vcont_text(actions).substr(5)), (std::vector<ThreadAction>{{Step, 1}, {RunOn, 0}, {RunOn, {}}}));
}

TEST(Xfer, IsReadFromItsPacket) {
    const auto x = parse_xfer("vmx:read:transition/12:1f,ffff");
    ASSERT_TRUE(x);
    EXPECT_EQ(x->object, "vmx");
    EXPECT_EQ(x->annex, "transition/12");
    EXPECT_EQ(x->offset, 0x1fu);
    EXPECT_EQ(x->length, 0xffffu);
    for (const char* bad : {"", "vmx", "vmx:write:a:0,1", "vmx:read:0,1", "vmx:read:a:0", "vmx:read:a:0,",
                            "vmx:read:a:,1", "vmx:read:a:-1,1"})
        EXPECT_FALSE(parse_xfer(bad)) << bad;
}

TEST(Xfer, PiecesAddUpToTheWholeAndFitAPacketOnceEscaped) {
    std::string data;
    for (int i = 0; i < 300000; ++i) data += i % 3 == 0 ? '#' : static_cast<char>(i);
    std::string whole;
    for (bool more = true; more;) {
        const std::string reply = xfer_reply(data, {"", "", whole.size(), 1u << 20});
        EXPECT_LE(frame(reply).size(), kMaxPacket + 4);
        more = reply[0] == 'm';
        whole += reply.substr(1);
    }
    EXPECT_EQ(whole, data);
    EXPECT_EQ(xfer_reply("abc", {"", "", 3, 10}), "l");
    EXPECT_EQ(xfer_reply("abc", {"", "", ~0ULL, ~0ULL}), "l");
    EXPECT_EQ(xfer_reply("abc", {"", "", 1, 1}), "mb");
    EXPECT_EQ(xfer_reply("abc", {"", "", 1, 2}), "lbc");
}

TEST(StopReplies, AreReadAsTheyAreWritten) {
    for (const Stop& s : {Stop{Stop::Why::Attached, 0, 0, {}}, Stop{Stop::Why::Transition, 3, 0x2a, {}},
                          Stop{Stop::Why::Interrupted, 1, 7, {}}, Stop{Stop::Why::End, 1, 9, {}}})
        for (bool multiprocess : {true, false}) {
            const auto read = parse_stop_reply(stop_reply(s, multiprocess));
            ASSERT_TRUE(read) << read.error().text();
            EXPECT_EQ(*read, s);
        }
    EXPECT_EQ(stop_reply({Stop::Why::Transition, 0, 0x2a, {}}, true), "T05thread:p1.1;vmxwhy:transition;vmxseq:2a;");
    EXPECT_EQ(stop_reply({Stop::Why::End, 0, 0x2a, {}}, true), "T05thread:p1.1;replaylog:end;vmxwhy:end;vmxseq:2a;");
    EXPECT_EQ(stop_reply({Stop::Why::GuestGone, 0, 0, {}}, true), "W00;process:1");
    EXPECT_EQ(parse_stop_reply("W00;process:1")->why, Stop::Why::GuestGone);
}

TEST(StopReplies, AFailedRunBringsItsSentence) {
    const auto read = parse_stop_reply(failed_reply("The ring; it is full: #$}*."));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().what, "The ring; it is full: #$}*.");
}

TEST(StopReplies, WhatMakesNoSenseIsRefused) {
    for (const char* bad : {"", "T", "T05", "T05thread:p1.1;", "T05thread:p1.-1;vmxwhy:transition;vmxseq:1;",
                            "T05thread:p1.1;vmxwhy:transition;vmxseq:;", "T05thread:p1.1;vmxwhy:other;vmxseq:1;",
                            "Txxthread:p1.1;vmxwhy:attached;vmxseq:0;", "T00vmxwhy:failed;vmxtext:zz;", "S05", "OK"})
        EXPECT_FALSE(parse_stop_reply(bad)) << bad;
}

TEST(Objects, AreReadAsTheyAreWritten) {
    const TargetInfo info{"lab:pae-ept", "6.1.0", "A \"processor\"", 12, "0.1", "host", 2'100'000, {"one", "two"}};
    const auto i = parse_info(info_text(info));
    ASSERT_TRUE(i) << i.error().text();
    EXPECT_EQ(std::tie(i->name, i->kernel, i->cpu, i->pid, i->agent, i->host, i->tsc_khz, i->notes),
              std::tie(info.name, info.kernel, info.cpu, info.pid, info.agent, info.host, info.tsc_khz, info.notes));

    const auto v =
        parse_vcpus(vcpus_text({{0, 100, VcpuState::Held, 2, 9}, {1, 101, VcpuState::Waiting, std::nullopt, 0}}));
    ASSERT_TRUE(v) << v.error().text();
    ASSERT_EQ(v->size(), 2u);
    EXPECT_EQ(std::tie((*v)[0].id, (*v)[0].tid, (*v)[0].state, (*v)[0].last_seq),
              std::make_tuple(0u, 100u, VcpuState::Held, 9ull));
    EXPECT_EQ((*v)[0].level, 2);
    EXPECT_EQ((*v)[1].level, std::nullopt);

    const auto h = parse_history(history_text({1, 1ull << 60, 3}));
    ASSERT_TRUE(h) << h.error().text();
    EXPECT_EQ(std::tie(h->first, h->last, h->lost), std::make_tuple(1ull, 1ull << 60, 3ull));
}

TEST(Objects, TextThatIsNoUtf8IsStillWritten) {
    EXPECT_TRUE(parse_info(info_text({"a\xff", "", "", 0, "", "", 0, {}})));
}

TEST(Objects, WhatIsMissingOrOfTheWrongTypeIsRefused) {
    for (const char* bad :
         {"", "{", "[]", "{}", "1", R"({"name":1,"kernel":"","cpu":"","pid":0,"agent":"","notes":[]})",
          R"({"name":"","kernel":"","cpu":"","pid":4294967296,"agent":"","notes":[]})",
          R"({"name":"","kernel":"","cpu":"","pid":-1,"agent":"","notes":[]})",
          R"({"name":"","kernel":"","cpu":"","pid":0,"agent":"","notes":[1]})"})
        EXPECT_FALSE(parse_info(bad)) << bad;
    for (const char* bad : {"{}", "[1]", R"([{"id":0,"tid":1,"state":"asleep","level":1,"last_seq":0}])",
                            R"([{"id":0,"tid":1,"state":"held","level":3,"last_seq":0}])",
                            R"([{"id":0,"tid":1,"state":"held","last_seq":0}])"})
        EXPECT_FALSE(parse_vcpus(bad)) << bad;
    for (const char* bad : {"[]", R"({"first":2,"last":1,"lost":0})", R"({"first":1.5,"last":2,"lost":0})"})
        EXPECT_FALSE(parse_history(bad)) << bad;
}

}  // namespace
}  // namespace rsp
}  // namespace vmxscope::core
