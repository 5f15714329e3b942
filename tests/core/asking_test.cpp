// The packets that ask: what is sent, and exactly what comes back; and what comes back for malformed ones.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>

#include <nlohmann/json.hpp>

#include "core/rsp/codec.h"
#include "core/rsp/monitor.h"
#include "core/rsp/registers.h"
#include "core/transition_json.h"
#include "core/transition_text.h"
#include "nested/vmcs01_inputs.h"
#include "scripted_target.h"

namespace vmxscope::core::rsp {
namespace {

using nested::Kind;
using test::example_byte;
using test::RawClient;
using test::RunningServer;
using test::Script;

class Asking : public testing::Test {
  protected:
    /// As a client that knows multiprocess, with the first stop behind it.
    RawClient& client() {
        if (!client_) {
            server_.emplace(script);
            client_.emplace(server_->connect());
            client_->ask("qSupported:multiprocess+");
            client_->ask("?");
        }
        return *client_;
    }
    std::string ask(std::string_view packet) { return client().ask(packet); }
    std::string monitor(std::string_view text) { return from_hex(ask("qRcmd," + to_hex(text))).value_or("not hex"); }
    static std::string bytes(Space space, std::uint64_t address, std::size_t size) {
        std::string all;
        for (std::size_t i = 0; i < size; ++i) all += static_cast<char>(example_byte(space, address + i));
        return all;
    }
    void expect_each(std::initializer_list<const char*> packets, std::string_view reply) {
        for (const char* packet : packets) EXPECT_EQ(ask(packet), reply) << packet;
    }
    void expect_refused(std::initializer_list<const char*> packets) {
        for (const char* packet : packets) EXPECT_EQ(ask(packet).substr(0, 1), "E") << packet;
        EXPECT_EQ(ask("qC").substr(0, 4), "QCp1");  // and it goes on
    }

    std::shared_ptr<Script> script = [] {
        auto s = std::make_shared<Script>();
        s->vcpus = 2;
        s->kinds = {Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry, Kind::L1Exit};
        s->abilities = {Ability::Transitions, Ability::Memory, Ability::Capabilities};
        return s;
    }();

  private:
    std::optional<RunningServer> server_;
    std::optional<RawClient> client_;
};

TEST_F(Asking, WhatIsNotServedIsAnsweredWithNothing) {
    expect_each({"qTStatus", "qTfV", "qTfP", "qOffsets", "qL1160000000000000000", "qGetTIBAddr:0",
                 "QPassSignals:", "qRegisterInfo0", "qCRC:0,10", "QAgent:1", "jGetLoadedDynamicLibrariesInfos:{}",
                 "qVAttachOrWaitSupported", "qQemu", "QVmx"},
                "");
}

TEST_F(Asking, TheHandshakesSmallQuestions) {
    EXPECT_EQ(ask("qAttached"), "1");
    EXPECT_EQ(ask("qAttached:1"), "1");
    EXPECT_EQ(ask("qSymbol::"), "OK");
    EXPECT_EQ(ask("qVmxStep"), "transition");
    EXPECT_EQ(ask("QVmxStep:exit"), "OK");
    EXPECT_EQ(ask("qVmxStep"), "exit");
    EXPECT_EQ(ask("QThreadSuffixSupported"), "OK");
    EXPECT_EQ(ask("x0,0"), "OK");
    EXPECT_EQ(ask("jThreadExtendedInfo:"), "OK");
}

TEST_F(Asking, MemoryIsOfTheSpaceThatIsChosen) {
    EXPECT_EQ(ask("m400000,4"), to_hex(bytes(Space::L1Linear, 0x400000, 4)));
    for (const Space space : {Space::L2Linear, Space::L2Physical, Space::L1Physical, Space::L1Linear}) {
        EXPECT_EQ(
            monitor(fmt::format("space {}", name_of(space))).find(fmt::format("Memory is now {}.", name_of(space))),
            0u);
        EXPECT_EQ(ask("m400000,4"), to_hex(bytes(space, 0x400000, 4)));
        EXPECT_EQ(ask("x400000,4"), bytes(space, 0x400000, 4));
        const bool physical = space == Space::L2Physical || space == Space::L1Physical;
        EXPECT_EQ(ask("qqemu.PhyMemMode"), physical ? "1" : "0");
    }
    monitor("space l2-phys");
    EXPECT_EQ(monitor("space default").find("Memory is now the linear one of the level that runs."), 0u);
    EXPECT_EQ(ask("m400000,4"), to_hex(bytes(Space::L1Linear, 0x400000, 4)));
    EXPECT_EQ(monitor("space l3-phys"),
              "There is no space 'l3-phys'. There is: l2-linear, l2-phys, l1-linear, l1-phys, default.\n");
}

TEST_F(Asking, PhysicalMemoryAsQemuHasIt) {
    EXPECT_EQ(ask("qqemu.Supported"), "PhyMemMode");
    EXPECT_EQ(ask("qqemu.PhyMemMode"), "0");
    EXPECT_EQ(ask("Qqemu.PhyMemMode:1"), "OK");
    EXPECT_EQ(ask("qqemu.PhyMemMode"), "1");
    EXPECT_EQ(ask("m400000,4"), to_hex(bytes(Space::L1Physical, 0x400000, 4)));
    EXPECT_EQ(ask("Qqemu.PhyMemMode:0"), "OK");
    EXPECT_EQ(ask("m400000,4"), to_hex(bytes(Space::L1Linear, 0x400000, 4)));
    expect_each({"Qqemu.PhyMemMode:", "Qqemu.PhyMemMode:2", "Qqemu.PhyMemMode:on"}, "E01");
}

TEST_F(Asking, MemoryThatIsNotThereIsAnErrorAndNoZeroes) {
    for (const char* command : {"m", "x"})
        for (const char* range :
             {"3fffff,2", "41ffff,2", "420000,1", "ffffffffffffffff,2", "400000,0", "400000,4001", "400000,-1",
              "400000", "400000,", ",", "", "400000,1,1", "0x400000,1", "11111111111111111,1"})
            EXPECT_EQ(ask(fmt::format("{}{}", command, range)), "E01") << command << range;
}

TEST_F(Asking, BytesThatTheWireWouldTakeForItsOwnComeThrough) {
    const std::string page = ask("x400000,1000");
    EXPECT_EQ(page, bytes(Space::L1Linear, 0x400000, 0x1000));
    for (const char c : {'#', '$', '}', '*'}) EXPECT_NE(page.find(c), std::string::npos);
}

TEST_F(Asking, MemoryIsOfTheLevelThatRunsAtTheStop) {
    ask("vCont;s:p1.1");  // nested-entry
    EXPECT_EQ(from_hex(ask("qThreadExtraInfo,p1.1")), "vCPU 0, L2 runs, held, transition 1 nested-entry");
    EXPECT_EQ(ask("m400000,4"), to_hex(bytes(Space::L2Linear, 0x400000, 4)));
    EXPECT_EQ(ask("Qqemu.PhyMemMode:1"), "OK");
    EXPECT_EQ(ask("m400000,4"), to_hex(bytes(Space::L2Physical, 0x400000, 4)));
    ask("QVmxStep:exit");
    ask("vCont;s:p1.1");
    EXPECT_EQ(ask("m400000,4"), to_hex(bytes(Space::L1Physical, 0x400000, 4)));
}

TEST_F(Asking, MemoryIsSearched) {
    const std::string pattern = bytes(Space::L1Linear, 0x400123, 3);
    EXPECT_EQ(ask("qSearch:memory:400100;1000;" + pattern), "1,400123");
    EXPECT_EQ(ask("qSearch:memory:400124;1000;" + pattern), "1,400223");  // the bytes come again every 256
    EXPECT_EQ(ask("qSearch:memory:400124;20;" + pattern), "0");
    EXPECT_EQ(ask("qSearch:memory:400124;2;" + pattern), "0");
    EXPECT_EQ(ask("qSearch:memory:400000;20000;abcdef"), "0");  // in two pieces
    expect_each({"qSearch:memory:41ff00;200;abc", "qSearch:memory:400000;100;", "qSearch:memory:400000;100",
                 "qSearch:memory:", "qSearch:memory:x;100;a", "qSearch:memory:400000;zz;a",
                 "qSearch:memory:400000;ffffffffffffffff;a"},
                "E01");
    EXPECT_EQ(ask("qSearch:memory:400000;100;" + std::string(5000, 'a')), "E01");
}

TEST_F(Asking, RegistersOfAnotherThreadByLldbsSuffix) {
    ask("vCont;s:p1.2");
    ask("Hgp1.1");
    const std::string rip = "1000100100000000";
    EXPECT_EQ(ask("p10;thread:2;"), "1000100100000000");
    EXPECT_EQ(ask("p10;thread:0002;"), "1000100100000000");
    EXPECT_EQ(ask("p10"), "0000000000000080");
    EXPECT_EQ(ask("p10;thread:1;"), "0000000000000080");
    EXPECT_EQ(ask("g;thread:p1.2;").substr(256, 16), rip);
    expect_refused({"p10;thread:3;", "p10;thread:;", "p10;thread:x;", "p10;thread:2;2", "p;thread:2;", "pzz;thread:2;",
                    "g;thread:9;", "g;thread:", "g;2"});
}

TEST_F(Asking, StopRepliesNameAllThreadsToWhomWantsIt) {
    EXPECT_EQ(ask("QListThreadsInStopReply"), "OK");
    EXPECT_EQ(ask("vCont;s:p1.2"),
              "T05thread:p1.2;vmxwhy:transition;vmxseq:1;threads:p1.1,p1.2;thread-pcs:8000000000000000,1100010;");
}

TEST_F(Asking, LldbIsToldTheTransitionAndStopsWhereRipStays) {
    ask("QEnableErrorStrings");
    const auto described = [](std::uint64_t seq, Kind kind) {
        return to_hex(headline(test::example_transition(seq, 0, kind)));
    };
    const std::string reply =
        fmt::format("T05thread:p1.1;vmxwhy:transition;vmxseq:1;description:{};", described(1, Kind::NestedEntry));
    EXPECT_EQ(ask("vCont;s:p1.1"), reply);
    EXPECT_EQ(ask("qThreadStopInfo1"), reply);
    EXPECT_EQ(ask("qThreadStopInfo2"), "T00thread:p1.2;");
    script->same_rip = true;
    ask("vCont;s:p1.1");
    const std::string stays =
        fmt::format("T02thread:p1.1;vmxwhy:transition;vmxseq:3;description:{};", described(3, Kind::L2Exit));
    EXPECT_EQ(ask("vCont;s:p1.1"), stays);
    EXPECT_EQ(ask("qThreadStopInfo1"), stays);
    EXPECT_EQ(nlohmann::json::parse(ask("jThreadsInfo"))[0]["signal"], 2);
}

TEST_F(Asking, ThreadsAtAStopAsJson) {
    ask("vCont;s:p1.2");
    const auto threads = nlohmann::json::parse(ask("jThreadsInfo"));
    const auto expected = nlohmann::json::parse(R"([
        {"tid": 1, "name": "vCPU 0, L1", "registers": {"16": "0000000000000080"}},
        {"tid": 2, "name": "vCPU 1, L2", "registers": {"16": "1000100100000000"}, "reason": "trace",
         "description": "", "signal": 5}])");
    auto seen = threads;
    EXPECT_EQ(seen[1]["description"], headline(test::example_transition(1, 1, Kind::NestedEntry)));
    seen[1]["description"] = "";
    EXPECT_EQ(seen, expected);
    const auto about = nlohmann::json::parse(ask("jThreadExtendedInfo:{\"thread\":2}"));
    EXPECT_EQ(about["vcpu"], 1);
    EXPECT_EQ(about["kind"], "nested-entry");
    EXPECT_EQ(about["transition"], 1);
    expect_refused({"jThreadExtendedInfo:{}", "jThreadExtendedInfo:{\"thread\":9}",
                    "jThreadExtendedInfo:{\"thread\":0}", "jThreadExtendedInfo:{\"thread\":-1}",
                    "jThreadExtendedInfo:{\"thread\":99999999999}", "jThreadExtendedInfo:[",
                    "jThreadExtendedInfo:{\"thread\":\"1\"}"});
    client().send("vCont;c");
    EXPECT_EQ(ask("jThreadsInfo").substr(0, 2), "E.");
}

TEST_F(Asking, MemoryRegionsArePages) {
    EXPECT_EQ(ask("qMemoryRegionInfo:400123"), "start:400000;size:1000;permissions:r;");
    EXPECT_EQ(ask("qMemoryRegionInfo:420000"), "start:420000;size:1000;");
    expect_refused({"qMemoryRegionInfo:", "qMemoryRegionInfo:x", "qMemoryRegionInfo:11111111111111111"});
}

TEST_F(Asking, RegionsAreNotServedWhereNoMemoryIs) {
    script->abilities = {Ability::Transitions};
    EXPECT_EQ(ask("qMemoryRegionInfo:400123"), "");
}

TEST_F(Asking, ATransitionAsJson) {
    ask("vCont;s:p1.1");
    const std::string reply = ask("qXfer:vmx:read:json/1:0,1ffff");
    EXPECT_EQ(reply.substr(1), to_line(to_full_json(test::example_transition(1, 0, Kind::NestedEntry))));
    EXPECT_EQ(nlohmann::json::parse(reply.substr(1))["fields"].size(), +vmx::kFieldCount);
    expect_refused({"qXfer:vmx:read:json/2:0,100", "qXfer:vmx:read:json/:0,100", "qXfer:vmx:read:json/1x:0,100",
                    "qXfer:vmx:read:json/-1:0,100", "qXfer:vmx:read:json/1", "qXfer:vmx:read:json/1:x,100",
                    "qXfer:vmx:write:json/1:0:00"});
}

TEST_F(Asking, ObjectsThatDoNotExistAreRefusedInWords) {
    EXPECT_EQ(ask("qXfer:osdata:read:files:0,100"), "E.There is no table 'files' here. There is: processes, threads.");
    expect_refused({"qXfer:features:read:other.xml:0,100", "qXfer:memory-map:read::0,100",
                    "qXfer:exec-file:read:1:0,100", "qXfer:auxv:read::0,100", "qXfer:libraries:read::0,100",
                    "qXfer:", "qXfer:threads:read:x:0,100"});
}

TEST_F(Asking, EveryCommandOfMonitorHasHelp) {
    const std::string help = monitor("help");
    std::size_t commands = 0;
    for (std::size_t at = help.find("monitor "); at != std::string::npos;
         at = help.find("\nmonitor ", at + 1), ++commands) {
        const std::size_t name = help.find("monitor ", at) + 8;
        const std::string word = help.substr(name, help.find(' ', name) - name);
        EXPECT_EQ(monitor("help " + word).find("monitor " + word), 0u) << word;
        EXPECT_TRUE(parse_monitor(word) || parse_monitor(word).error().text().find("no command") == std::string::npos)
            << word;
    }
    EXPECT_GE(commands, 8u);
    EXPECT_EQ(monitor("help dance"), "There is no command 'monitor dance'. See: monitor help.\n");
    EXPECT_EQ(monitor("pdptr now"), "This command takes nothing after it, and 'now' came.\n");
}

// --- What the structures have as members
// ------------------------------------------------------------------------------------

bool has(const MemberFields& m, ShownVmcs v, vmx::Field f) {
    return m[v][*vmx::index_of(f)];
}

TEST_F(Asking, MembersAreWhatIsPromisedBeforeAndWhatIsKnownAfterTheFirstReading) {
    const auto target = test::make_scripted_target(script);
    const MemberFields before = member_fields(*target, nullptr);
    EXPECT_EQ(before[ShownVmcs::Vmcs12].count(), 141u);
    EXPECT_FALSE(has(before, ShownVmcs::Vmcs12, vmx::Field::PLE_GAP));
    EXPECT_TRUE(has(before, ShownVmcs::Vmcs02, vmx::Field::GUEST_CR3));
    EXPECT_TRUE(has(before, ShownVmcs::Vmcs01, vmx::Field::GUEST_CR3));
    EXPECT_FALSE(has(before, ShownVmcs::Vmcs01, vmx::Field::HOST_RIP));

    auto t = test::example_transition(1, 0, Kind::NestedEntry);
    t.vmcs01[vmx::Field::GUEST_CR4] = vmx::Value::of(0x20);
    const MemberFields after = member_fields(*target, &t);
    EXPECT_TRUE(has(after, ShownVmcs::Vmcs02, vmx::Field::GUEST_PDPTR3));
    EXPECT_FALSE(has(after, ShownVmcs::Vmcs02, vmx::Field::TSC_MULTIPLIER));  // the processor has none
    EXPECT_EQ(after[ShownVmcs::Vmcs01].count(), 1u);
    EXPECT_TRUE(has(after, ShownVmcs::Vmcs01, vmx::Field::GUEST_CR4));
}

TEST_F(Asking, ReadingTheDescriptionAgainAdaptsItToWhatIsKnownByThen) {
    const std::string before = ask("qXfer:features:read:target.xml:0,1ffff");
    EXPECT_NE(before.find("<field name=\"guest_ia32_pat\""), std::string::npos);
    ask("vCont;s:p1.1");
    const std::string after = ask("qXfer:features:read:target.xml:0,1ffff");
    EXPECT_EQ(after.find("<field name=\"guest_ia32_pat\""), std::string::npos);
    EXPECT_NE(after.find("<field name=\"guest_pdptr3\""), std::string::npos);
}

// --- gdb's own document types
// ----------------------------------------------------------------------------------------------

/// What xmllint has against `xml`, as a document of the type in `dtd`; "" when it is valid.
std::string complaints(const std::string& xml, const std::string& dtd, const std::string& more_declarations = {}) {
    const std::string folder = test::make_folder();
    std::ofstream(folder + "/it.xml") << xml;
    std::ofstream(folder + "/" + dtd) << std::ifstream(std::string(GDB_DTDS) + "/" + dtd).rdbuf() << more_declarations;
    std::ofstream(folder + "/xinclude.dtd") << std::ifstream(std::string(GDB_DTDS) + "/xinclude.dtd").rdbuf();
    const std::string command =
        fmt::format("{0} --noout --nonet --dtdvalid {1}/{2} {1}/it.xml 2>&1", XMLLINT, folder, dtd);
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string said;
    std::array<char, 4096> buffer{};
    for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) said.append(buffer.data(), n);
    if (::pclose(pipe) != 0 && said.empty()) said = "xmllint failed";
    test::remove_folder(folder);
    return said;
}

TEST_F(Asking, WhatIsServedAsXmlIsOfGdbsOwnDocumentTypes) {
    if (std::string(XMLLINT).empty()) GTEST_SKIP() << "xmllint is not installed";
    EXPECT_EQ(complaints(ask("qXfer:features:read:target.xml:0,1ffff").substr(1), "gdb-target.dtd"), "");
    ask("vCont;s:p1.1");
    EXPECT_EQ(complaints(ask("qXfer:features:read:target.xml:0,1ffff").substr(1), "gdb-target.dtd"), "");
    for (const char* table : {"", "processes", "threads"})
        EXPECT_EQ(complaints(ask(fmt::format("qXfer:osdata:read:{}:0,1ffff", table)).substr(1), "osdata.dtd"), "");
    const std::string name = "<!ATTLIST thread name CDATA #IMPLIED>";
    EXPECT_EQ(complaints(ask("qXfer:threads:read::0,1ffff").substr(1), "threads.dtd", name), "");
    EXPECT_NE(complaints("<target><enum id=\"a\" size=\"4\"/></target>", "gdb-target.dtd"),
              "");  // and it does find faults
}

}  // namespace
}  // namespace vmxscope::core::rsp
