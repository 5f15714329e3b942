// QEMU's answers, and which process is a domain's.
#include "plugins/libvirt/monitor.h"

#include <gtest/gtest.h>

#include "plugins/libvirt/qemu_process.h"

namespace vmxscope::libvirt {
namespace {

// As QEMU 7.2 answers.
constexpr std::string_view kOpen = R"({"return":[{"frontend-open":true,"filename":"gdb","label":"#chr019"},
    {"frontend-open":true,"filename":"disconnected:tcp:127.0.0.1:38617,server=on","label":"gdb"},
    {"frontend-open":true,"filename":"unix:/run/monitor.sock,server=on","label":"charmonitor"}],"id":"libvirt-413"})";
constexpr std::string_view kTaken =
    R"({"return":[{"frontend-open":true,"filename":"tcp:127.0.0.1:1234,server=on <-> 127.0.0.1:50612","label":"gdb"}]})";
constexpr std::string_view kCpus =
    R"({"return":[{"thread-id":26301,"props":{"core-id":0},"cpu-index":0,"target":"x86_64"},
    {"thread-id":26302,"cpu-index":1,"target":"x86_64"}],"id":"libvirt-414"})";

TEST(Monitor, TheStubIsFoundWithItsPort) {
    EXPECT_EQ(**parse_open_stub(kOpen), (OpenStub{"tcp:127.0.0.1:38617,server=on", 38617, false}));
    EXPECT_EQ((*parse_open_stub(kTaken))->port, 1234);
    EXPECT_TRUE((*parse_open_stub(kTaken))->taken);
}

TEST(Monitor, WithoutAStubThereIsNone) {
    EXPECT_EQ(*parse_open_stub(R"({"return":[{"filename":"gdb","label":"#chr019"}]})"), std::nullopt);
    EXPECT_EQ(*parse_open_stub(R"({"return":[]})"), std::nullopt);
}

TEST(Monitor, AStubElsewhereHasNoPortHere) {
    for (const char* where : {"unix:/tmp/s,server=on", "tcp:10.0.0.1:1234,server=on", "tcp:127.0.0.1:99999,server=on",
                              "pty:/dev/pts/3", "tcp:127.0.0.1:"}) {
        const auto stub =
            parse_open_stub(std::string(R"({"return":[{"label":"gdb","filename":"disconnected:)") + where + R"("}]})");
        ASSERT_TRUE(stub && *stub) << where;
        EXPECT_EQ((*stub)->port, 0) << where;
    }
}

TEST(Monitor, ThreadsStandByTheirVcpu) {
    EXPECT_EQ(*parse_vcpu_threads(kCpus), (std::vector<std::uint32_t>{26301, 26302}));
    EXPECT_TRUE(
        parse_vcpu_threads(
            R"({"return":[{"thread-id":1,"cpu-index":4000000000},{"cpu-index":0},{"thread-id":"x","cpu-index":0},7]})")
            ->empty());
}

TEST(Monitor, WhatIsNoAnswerIsAnError) {
    for (const char* text :
         {"", "{", "[]", "null", R"({"return":{}})", R"({"error":{"class":"GenericError","desc":"no"}})"}) {
        EXPECT_FALSE(parse_open_stub(text)) << text;
        EXPECT_FALSE(parse_vcpu_threads(text)) << text;
    }
    EXPECT_TRUE(parse_open_stub(R"({"return":[1,null,{"label":7},{"label":"gdb","filename":[]}]})"));
}

TEST(QemuProcess, IsKnownByItsNameAndTheUuidItWasGiven) {
    using namespace std::string_view_literals;
    constexpr auto kArguments = "/usr/bin/qemu-system-x86_64\0-name\0guest=spin\0-uuid\0ec974dac\0-S\0"sv;
    EXPECT_TRUE(is_qemu_of("qemu-system-x86\n", kArguments, "ec974dac"));
    EXPECT_FALSE(is_qemu_of("qemu-system-x86\n", kArguments, "ec974da"));
    EXPECT_FALSE(is_qemu_of("sleep\n", kArguments, "ec974dac"));
    EXPECT_FALSE(is_qemu_of("qemu-system-x86\n", "qemu\0ec974dac\0"sv, "ec974dac")) << "only what follows -uuid";
    EXPECT_FALSE(is_qemu_of("qemu-system-x86\n", "qemu\0-uuid"sv, "ec974dac"));
    EXPECT_FALSE(is_qemu_of("qemu-system-x86\n", ""sv, "ec974dac"));
}

}  // namespace
}  // namespace vmxscope::libvirt
