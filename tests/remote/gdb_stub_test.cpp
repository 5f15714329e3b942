// Targets without an agent: QEMU's own stub and gdbserver, as Debian has them.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "plugins/remote/backends.h"
#include "plugins/remote/registers.h"
#include "stubs.h"

namespace vmxscope::remote {
namespace {

using namespace core;
using test::kBootSector;
using test::kCounter;
using test::kLoop;

constexpr auto kLong = std::chrono::milliseconds(60000);

template <typename T>
T require(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().text());
    return std::move(*result);
}
void require(const Result<void>& result) {
    if (!result) throw std::runtime_error(result.error().text());
}

Stop stop_of(Target& target) {
    const auto stop = require(target.wait(kLong));
    if (!stop) throw std::runtime_error("no stop came");
    return *stop;
}

std::uint64_t value(Target& target, std::string_view name, std::uint32_t vcpu = 0) {
    return value_of(require(target.registers(vcpu)), name).value();
}

bool has_program(const char* name) {
    return ::system((std::string("command -v ") + name + " >/dev/null").c_str()) == 0;
}

class QemuStub : public testing::Test {
  protected:
    void SetUp() override {
        if (!has_program("qemu-system-x86_64")) GTEST_SKIP() << "QEMU is not installed";
    }
    std::unique_ptr<Target> attach() {
        auto target = require(unix_backend()->attach(qemu.rest(), nullptr));
        EXPECT_EQ(stop_of(*target).why, Stop::Why::Attached);
        return target;
    }
    /// As attach(), and on to the boot sector's loop.
    std::unique_ptr<Target> attach_in_loop() {
        auto target = attach();
        require(target->insert_breakpoint(kLoop));
        require(target->resume({{}}));
        EXPECT_EQ(stop_of(*target).why, Stop::Why::Instruction);
        require(target->remove_breakpoint(kLoop));
        return target;
    }

    test::Qemu qemu{2};
};

TEST_F(QemuStub, IsATargetOfInstructionsThatSaysWhatItLacks) {
    const auto target = attach();
    EXPECT_TRUE(target->can(Ability::Instructions));
    EXPECT_TRUE(target->can(Ability::Breakpoints));
    EXPECT_TRUE(target->can(Ability::Memory));
    for (const Ability a : {Ability::Transitions, Ability::Back, Ability::Record, Ability::Write})
        EXPECT_FALSE(target->can(a));
    ASSERT_EQ(target->info().notes.size(), 1u);
    EXPECT_NE(target->info().notes[0].find("QEMU's own GDB stub"), std::string::npos);
    EXPECT_NE(target->info().notes[0].find("VMCS"), std::string::npos);
    EXPECT_EQ(target->info().cpu, "i386:x86-64");
    EXPECT_NE(target->transition(1).error().what.find("no VMCS"), std::string::npos);
    EXPECT_FALSE(target->record({}));
    EXPECT_FALSE(target->resume({{std::nullopt, StepKind::Nested}}));
    EXPECT_FALSE(target->resume_back(StepKind::Instruction, std::nullopt));
    EXPECT_EQ(require(target->history()).last, 0u);
    EXPECT_EQ(require(target->vcpus()).size(), 2u);
}

TEST_F(QemuStub, StepsInstructionsAndShowsRegistersByTheirNames) {
    const auto target = attach();
    EXPECT_EQ(value(*target, "rip"), 0xfff0u) << "the reset vector";
    EXPECT_EQ(value(*target, "cs"), 0xf000u);
    EXPECT_EQ(value(*target, "cr0") & 1, 0u);
    require(target->insert_breakpoint(kBootSector));
    require(target->resume({{}}));
    const Stop at_boot = stop_of(*target);
    EXPECT_EQ(at_boot.why, Stop::Why::Instruction);
    EXPECT_EQ(at_boot.vcpu, 0u);
    EXPECT_EQ(value(*target, "rip"), kBootSector);
    for (const std::uint64_t rip : {kLoop, kLoop + 1, kLoop + 3, kLoop + 6, kLoop}) {
        require(target->resume({{0, StepKind::Instruction}}));
        EXPECT_EQ(stop_of(*target).why, Stop::Why::Instruction);
        EXPECT_EQ(value(*target, "rip"), rip);
    }
    EXPECT_EQ(value(*target, "rax"), 2u);
    EXPECT_EQ(value(*target, "rbx"), 2u);
}

TEST_F(QemuStub, RunsOnFromABreakpointToTheSameOne) {
    const auto target = attach();
    require(target->insert_breakpoint(kLoop));
    for (std::uint64_t round = 1; round <= 5; ++round) {
        require(target->resume({{}}));
        EXPECT_EQ(stop_of(*target).why, Stop::Why::Instruction);
        EXPECT_EQ(value(*target, "rip"), kLoop);
        EXPECT_EQ(value(*target, "rax"), round);
    }
    require(target->remove_breakpoint(kLoop));
    require(target->resume({{}}));
    EXPECT_FALSE(require(target->wait(std::chrono::milliseconds(200))));
    require(target->interrupt());
    EXPECT_EQ(stop_of(*target).why, Stop::Why::Interrupted);
}

TEST_F(QemuStub, ReadsMemoryByLinearAndByPhysicalAddresses) {
    const auto target = attach_in_loop();
    for (const Space space : {Space::L1Linear, Space::L1Physical}) {
        const auto code = require(target->read_memory(0, space, kBootSector, 512));
        EXPECT_EQ(std::to_integer<int>(code[0]), 0xb8);
        EXPECT_EQ(std::to_integer<int>(code[511]), 0xaa);
    }
    EXPECT_EQ(require(target->read_memory(1, Space::L1Linear, kBootSector & ~0xfffull, kMostMemory)).size(),
              kMostMemory);
    EXPECT_FALSE(target->read_memory(0, Space::L2Linear, kBootSector, 8));
    EXPECT_FALSE(target->read_memory(0, Space::L1Linear, kBootSector, kMostMemory + 1));
    EXPECT_FALSE(target->read_memory(7, Space::L1Linear, kBootSector, 8));
    EXPECT_TRUE(target->read_memory(0, Space::L1Linear, kCounter, 2)) << "it lives on";
}

TEST_F(QemuStub, EachVcpuHasRegistersOfItsOwn) {
    const auto target = attach_in_loop();
    EXPECT_EQ(value(*target, "rip", 0), kLoop);
    EXPECT_NE(value(*target, "rip", 1), kLoop) << "the other has not been started";
    EXPECT_FALSE(target->registers(2));
}

TEST_F(QemuStub, RunsOnWhenItIsLeftHeldRunningOrAtABreakpoint) {
    auto target = attach_in_loop();
    EXPECT_NE(qemu.monitor("info status").find("paused"), std::string::npos);
    require(target->detach());
    EXPECT_NE(qemu.monitor("info status").find("running"), std::string::npos);

    target = attach();
    EXPECT_NE(qemu.monitor("info status").find("paused"), std::string::npos);
    require(target->resume({{}}));
    target.reset();
    EXPECT_NE(qemu.monitor("info status").find("running"), std::string::npos) << "left while it ran";

    target = attach();
    require(target->insert_breakpoint(kLoop));
    require(target->resume({{}}));
    stop_of(*target);
    target.reset();
    EXPECT_NE(qemu.monitor("info status").find("running"), std::string::npos) << "its breakpoints are gone with it";
}

TEST_F(QemuStub, ThatVanishesIsALostConnection) {
    auto vanishing = std::make_unique<test::Qemu>();
    auto target = require(unix_backend()->attach(vanishing->rest(), nullptr));
    stop_of(*target);
    vanishing.reset();
    EXPECT_NE(target->registers(0).error().what.find("was lost"), std::string::npos);
    EXPECT_FALSE(target->resume({{}}));
    EXPECT_TRUE(target->detach());
}

class GdbserverStub : public testing::Test {
  protected:
    void SetUp() override {
        if (!has_program("gdbserver")) GTEST_SKIP() << "gdbserver is not installed";
    }
};

TEST_F(GdbserverStub, StepsAProgramAndLetsItGo) {
    test::Gdbserver server({"sleep", "1000"});
    auto target = require(tcp_backend()->attach(server.rest(), nullptr));
    EXPECT_EQ(stop_of(*target).why, Stop::Why::Attached);
    EXPECT_TRUE(target->can(Ability::Breakpoints));
    EXPECT_NE(target->info().notes.at(0).find("a GDB stub, not a vmxscope agent"), std::string::npos);
    EXPECT_FALSE(target->read_memory(0, Space::L1Physical, 0, 8));
    EXPECT_NE(target->read_memory(0, Space::L1Linear, 0, 8).error().what.find("Nothing is mapped at 0x0"),
              std::string::npos);

    std::uint64_t rip = value(*target, "rip");
    EXPECT_TRUE(target->read_memory(0, Space::L1Linear, rip, 16));
    for (int i = 0; i < 20; ++i) {
        require(target->resume({{0, StepKind::Instruction}}));
        EXPECT_EQ(stop_of(*target).why, Stop::Why::Instruction);
        EXPECT_NE(value(*target, "rip"), std::exchange(rip, value(*target, "rip"))) << i;
    }
    require(target->resume({{}}));
    require(target->interrupt());
    EXPECT_EQ(stop_of(*target).why, Stop::Why::Interrupted);
    require(target->detach());
}

TEST_F(GdbserverStub, TellsHowItsProgramEnded) {
    test::Gdbserver server({"sh", "-c", "exit 3"});
    auto target = require(tcp_backend()->attach(server.rest(), nullptr));
    stop_of(*target);
    require(target->resume({{}}));
    const Stop end = stop_of(*target);
    EXPECT_EQ(end.why, Stop::Why::GuestGone);
    EXPECT_EQ(end.text, "It ended with status 3.");
    EXPECT_FALSE(target->resume({{}}));
    EXPECT_FALSE(target->registers(0));
    EXPECT_EQ(require(target->vcpus()).at(0).state, VcpuState::Gone);
    EXPECT_TRUE(target->detach());
}

/// gdb would pass the signal on, so a fault is not met again and again.
TEST_F(GdbserverStub, ASignalReachesTheProgramThatItIsFor) {
    test::Gdbserver server({"sh", "-c", "kill -SEGV $$"});
    auto target = require(tcp_backend()->attach(server.rest(), nullptr));
    stop_of(*target);
    Stop stop;
    for (int i = 0; i < 20 && stop.why != Stop::Why::GuestGone; ++i) {
        require(target->resume({{}}));
        stop = stop_of(*target);
    }
    EXPECT_EQ(stop.text, "It ended by signal 11.");
}

TEST(RemoteBackends, KnowTheirSchemes) {
    EXPECT_EQ(tcp_backend()->scheme(), "tcp");
    EXPECT_EQ(unix_backend()->scheme(), "unix");
    EXPECT_TRUE(tcp_backend()->list().empty());
    const auto nobody = unix_backend()->attach("/nowhere/at/all", nullptr);
    ASSERT_FALSE(nobody);
    EXPECT_NE(nobody.error().what.find("Nobody listens on unix:/nowhere/at/all"), std::string::npos);
    EXPECT_FALSE(tcp_backend()->attach("nonsense", nullptr));
}

}  // namespace
}  // namespace vmxscope::remote
