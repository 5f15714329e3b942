// Several clients of one guest: one drives it, the others look on.
#include "server_fixture.h"

namespace vmxscope::core::rsp {
namespace {

using test::becomes_true;
using test::RawClient;

class Lookers : public test::Served {
  protected:
    static bool refused(const std::string& reply) {
        return reply.starts_with("E.") &&
               reply.find(" drives this guest; this connection only looks. Detach there, and attach anew.") != std::string::npos;
    }
    RawClient driver = connect();
};

TEST_F(Lookers, SeeTheGuestAsTheDriverHasItAndAskEverything) {
    driver.ask("?");
    driver.ask("vCont;s:p1.1");
    RawClient looker = connect();
    EXPECT_EQ(script->attached, 1);
    EXPECT_EQ(looker.ask("?"), "T05thread:p1.1;vmxwhy:transition;vmxseq:1;");
    EXPECT_EQ(looker.ask("g"), driver.ask("g"));
    EXPECT_EQ(looker.ask("p10"), "1000100000000000");
    EXPECT_EQ(looker.ask("qfThreadInfo"), "mp1.1,p1.2");
    EXPECT_EQ(looker.ask("m400010,8"), driver.ask("m400010,8"));
    EXPECT_EQ(looker.ask("qXfer:vmx:read:transition/1:0,10000"), driver.ask("qXfer:vmx:read:transition/1:0,10000"));
    EXPECT_NE(monitor(looker, "info").find("process 4711"), std::string::npos);
    EXPECT_NE(monitor(looker, "pdptr").find("0x103001"), std::string::npos);
    driver.ask("vCont;s:p1.1");
    EXPECT_EQ(looker.ask("?"), "T05thread:p1.1;vmxwhy:transition;vmxseq:2;");
}

TEST_F(Lookers, AreNotKeptWaitingBeforeTheFirstStop) {
    RawClient looker = connect();
    EXPECT_EQ(looker.ask("?"), "T05thread:p1.1;vmxwhy:attached;vmxseq:0;");
}

TEST_F(Lookers, RunAndChangeNothingAndAreToldWhoDrives) {
    driver.ask("?");
    RawClient looker = connect();
    const std::string me = fmt::format("test_rsp (process {})", ::getpid());
    EXPECT_EQ(looker.ask("c"), "E." + me + " drives this guest; this connection only looks. Detach there, and attach anew.");
    for (const char* packet : {"vCont;c", "vCont;s:p1.1", "s", "C05", "bs", "bc", "QVmxGoto:1", "P10=00", "G00", "M400000,1:00",
                               "X400000,1:0", "QVmxWrite:memory/0/l2-linear/400000/00", "QVmxEvidence:all",
                               "QVmxRecord:all,none,lossy", "Z0,1000,1", "z0,1000,1", "QNonStop:1"})
        EXPECT_TRUE(refused(looker.ask(packet))) << packet;
    for (const char* command : {"step", "back", "goto 1", "evidence all", "break if 1", "delete 1"})
        EXPECT_TRUE(refused("E." + monitor(looker, command))) << command;
    looker.send_raw("\x03");
    EXPECT_EQ(looker.ask("qXfer:vmx:read:abilities:0,1000"), "l[\"transitions\",\"capabilities\",\"memory\",\"looking\"]");
    EXPECT_NE(looker.ask("qXfer:vmx:read:info:0,1000").find("this connection only looks"), std::string::npos);
    EXPECT_EQ(driver.ask("vCont;s:p1.1"), "T05thread:p1.1;vmxwhy:transition;vmxseq:1;");
    EXPECT_EQ(script->resumed_times, 1);
    RawClient program = connect("vmx+");
    EXPECT_TRUE(program.ask("vCont;c").starts_with("T00vmxwhy:failed;vmxtext:"));  // it waits for a stop reply
}

TEST_F(Lookers, AreAnsweredWhileTheGuestRuns) {
    driver.ask("?");
    RawClient looker = connect();
    driver.send("vCont;c");
    EXPECT_TRUE(becomes_true([&] { return script->resumed_times == 1; }));
    EXPECT_NE(looker.ask("qXfer:vmx:read:vcpus:0,1000").find("\"running\""), std::string::npos);
    EXPECT_EQ(looker.ask("?"), "T05thread:p1.1;vmxwhy:attached;vmxseq:0;");
    driver.send_raw("\x03");
    EXPECT_EQ(driver.receive(), "T02thread:p1.1;vmxwhy:interrupted;vmxseq:0;");
}

TEST_F(Lookers, GoWithoutDisturbingTheDriver) {
    driver.ask("?");
    {
        RawClient detaches = connect();
        EXPECT_EQ(detaches.ask("D;1"), "OK");
        EXPECT_EQ(detaches.receive(), "");  // closed
        RawClient kills = connect();
        kills.send("k");
        EXPECT_EQ(kills.receive(), "");
        RawClient vanishes = connect();
        for (int i = 0; i < 500; ++i) vanishes.send("qXfer:features:read:target.xml:0,20000");  // and reads no answer
        vanishes.send_raw("$qXfer:half a pa");
        EXPECT_EQ(driver.ask("vCont;s:p1.1"), "T05thread:p1.1;vmxwhy:transition;vmxseq:1;");
    }
    EXPECT_EQ(driver.ask("vCont;s:p1.1"), "T05thread:p1.1;vmxwhy:transition;vmxseq:2;");
    EXPECT_EQ(script->detached, 0);
}

TEST_F(Lookers, AreToldWhenTheDriverGoesAndTheNextToComeDrives) {
    driver.ask("?");
    RawClient looker = connect();
    EXPECT_EQ(driver.ask("D;1"), "OK");
    EXPECT_TRUE(becomes_true([&] { return script->attached == 0; }));
    EXPECT_EQ(looker.ask("qC"), "E.The client that drove this guest has gone, and the guest runs on. Attach anew to drive it.");
    EXPECT_EQ(looker.receive(), "");  // closed
    RawClient next = connect();
    next.ask("?");
    EXPECT_EQ(next.ask("vCont;s:p1.1"), "T05thread:p1.1;vmxwhy:transition;vmxseq:1;");
}

TEST_F(Lookers, AreNotServedWithoutBound) {
    std::vector<RawClient> lookers;
    for (std::size_t i = 0; i < Server::kMostLookers; ++i) lookers.push_back(connect());
    RawClient one_more(server->connect());
    EXPECT_TRUE(one_more.ask("qSupported").ends_with(
        "drives this guest, and 8 others look on: more are not served. Wait until one has gone."));
    EXPECT_EQ(one_more.receive(), "");  // closed
    for (RawClient& looker : lookers) EXPECT_EQ(looker.ask("qAttached"), "1");
    EXPECT_EQ(driver.ask("qAttached"), "1");
}

}  // namespace
}  // namespace vmxscope::core::rsp
