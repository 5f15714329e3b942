// What a stub says of its registers, and what it answers to `g`.
#include <gtest/gtest.h>

#include <map>

#include "plugins/remote/registers.h"
#include "plugins/remote/stop_reply.h"
#include "plugins/remote/target_description.h"

namespace vmxscope::remote {
namespace {

core::Result<TargetDescription> read(const std::map<std::string, std::string>& documents) {
    return read_description([&](const std::string& name) -> core::Result<std::string> {
        const auto at = documents.find(name);
        if (at == documents.end()) return core::fail("there is no " + name);
        return at->second;
    });
}

TEST(Description, IsReadWithWhatItIncludes) {
    const auto d = read({{"target.xml", R"(<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">
        <target><architecture>i386:x86-64</architecture><xi:include href="core.xml"/>
        <feature name="other"><reg name="late" bitsize="32" regnum="7"/><reg name="next" bitsize="16"/></feature></target>)"},
                         {"core.xml", R"(<feature name="core"><reg name="rax" bitsize="64" type="int64"/>
        <flags id="f" size="4"><field name="A" start="0" end="0"/></flags><reg name="eflags" bitsize="32" type="f"/></feature>)"}});
    ASSERT_TRUE(d) << d.error().text();
    EXPECT_EQ(d->architecture, "i386:x86-64");
    ASSERT_EQ(d->registers.size(), 4u);
    EXPECT_EQ(d->registers[1].name, "eflags");
    EXPECT_EQ(d->registers[1].bytes, 4u);
    EXPECT_EQ(d->registers[3].name, "next");
    EXPECT_EQ(d->registers[3].bytes, 2u);
}

TEST(Description, OfAnEnemyIsRefusedWithASentence) {
    const auto target = [](const std::string& inside) {
        return std::map<std::string, std::string>{{"target.xml", "<target>" + inside + "</target>"}};
    };
    const auto reg = [](const std::string& attributes) { return "<feature><reg " + attributes + "/></feature>"; };
    std::string many = "<feature>";
    for (std::size_t i = 0; i <= kMostRegisters; ++i) many += "<reg name='r' bitsize='8'/>";
    for (const auto& documents : {
             std::map<std::string, std::string>{},
             {{"target.xml", ""}},
             {{"target.xml", "<target><feature>"}},
             {{"target.xml", std::string(kMostXml + 1, ' ') + "<target/>"}},
             {{"target.xml", "<!DOCTYPE t [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]><target>&b;</target>"}},
             target(""),
             target("<xi:include href='target.xml'/>"),
             target("<xi:include/>"),
             target(reg("name='a'")),
             target(reg("name='a' bitsize='0'")),
             target(reg("name='a' bitsize='7'")),
             target(reg("name='a' bitsize='-8'")),
             target(reg("name='a' bitsize='99999999999999999999'")),
             target(reg("name='a' bitsize='80000'")),
             target(reg("bitsize='64'")),
             target(reg("name='a' bitsize='64' regnum='4294967295'")),
             target(reg("name='a' bitsize='64' regnum='1'") + reg("name='b' bitsize='64' regnum='1'")),
             target(many + "</feature>"),
         }) {
        const auto d = read(documents);
        ASSERT_FALSE(d);
        EXPECT_FALSE(d.error().what.empty());
    }
}

TEST(Registers, StandWhereTheDescriptionPutsThem) {
    const std::vector<RegisterShape> shapes = {{"rax", 8}, {"cs", 2}, {"st0", 10}};
    const auto all = read_registers(shapes,
                                    "0807060504030201"
                                    "xxxx"
                                    "00112233445566778899");
    ASSERT_TRUE(all) << all.error().text();
    EXPECT_EQ(value_of(*all, "rax"), 0x0102030405060708u);
    EXPECT_EQ(value_of(*all, "cs"), std::nullopt) << "not available";
    EXPECT_EQ(value_of(*all, "st0"), std::nullopt) << "no number of 64 bits";
    EXPECT_EQ((*all)[2].bytes.size(), 10u);
    EXPECT_EQ(read_registers(shapes, "0807060504030201")->size(), 1u) << "a short answer";
    for (const char* bad : {"", "08", "080706050403020z", "0807060504030201xxxx0011223344556677889900"})
        EXPECT_FALSE(read_registers(shapes, bad)) << bad;
    EXPECT_EQ(usual_registers().size(), 57u);
}

TEST(StubStops, AreReadAsAnyStubSendsThem) {
    EXPECT_EQ(parse_stub_stop("T05thread:p01.02;")->thread, (Thread{1, 2}));
    EXPECT_EQ(parse_stub_stop("T0506:0*,;07:10d6ffff;thread:4d2;core:1;")->thread, (Thread{std::nullopt, 0x4d2}));
    EXPECT_EQ(parse_stub_stop("S02")->signal, kInterruptSignal);
    EXPECT_FALSE(parse_stub_stop("S02")->thread);
    EXPECT_EQ(parse_stub_stop("X0b")->text, "It ended by signal 11.");
    EXPECT_EQ(parse_stub_stop("W3;process:35d8")->text, "It ended with status 3.");
    EXPECT_EQ(parse_stub_stop("T05replaylog:begin;thread:1;")->text, "The recording begins here.");
    EXPECT_EQ(parse_stub_stop("T0")->signal, 0u) << "however short";
    for (const char* bad : {"", "T", "Tzz", "W", "Sxx"}) EXPECT_FALSE(parse_stub_stop(bad)) << bad;
    for (const char* bad : {"", "p", "p1", "p1.", "x", "p.1", "11111111111111111"})
        EXPECT_FALSE(parse_thread(bad)) << bad;
    EXPECT_FALSE(parse_threads("1,,2"));
    EXPECT_EQ((Thread{1, 0x1f}.text()), "p1.1f");
}

}  // namespace
}  // namespace vmxscope::remote
