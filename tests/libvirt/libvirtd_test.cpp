// Real domains of a real libvirtd: listed as they come and go, attached to through QEMU's own stub, left again.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <thread>

#include "app/backends.h"
#include "core/target_watcher.h"
#include "plugins/libvirt/connection.h"
#include "plugins/libvirt/domain_xml.h"
#include "plugins/libvirt/monitor.h"
#include "tests/libvirt/test_daemon.h"

namespace vmxscope::libvirt {
namespace {

using core::Stop;
using core::Target;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kLimit{120};  // far more than any of it takes
constexpr std::uint64_t kBoot = 0x7c00;      // where the BIOS puts the boot sector, and two bytes on

class Libvirtd : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        auto started = test::Daemon::start();
        if (started)
            daemon = std::move(*started);
        else
            why_not = started.error().text();
        if (daemon) ::setenv("VMXSCOPE_LIBVIRT_URI", daemon->uri().c_str(), 1);
    }
    static void TearDownTestSuite() {
        ::unsetenv("VMXSCOPE_LIBVIRT_URI");
        daemon.reset();
    }
    void SetUp() override {
        if (!daemon) GTEST_SKIP() << why_not;
        auto opened = open_connection(daemon->uri(), false, {}, kLimit);
        ASSERT_TRUE(opened) << opened.error().text();
        connection = std::move(*opened);
        plugins = app::load_plugins();
    }
    void TearDown() override {
        if (domain) virDomainDestroy(domain.get());
    }

    void create(const std::string& name) {
        domain.reset(virDomainCreateXML(connection.get(), daemon->domain_xml(name).c_str(), 0));
        ASSERT_TRUE(domain) << last_error();
    }
    std::string uri(const std::string& name) const { return "libvirt:" + daemon->uri() + "#" + name; }
    std::unique_ptr<Target> attach(const std::string& name) {
        auto target = plugins.backends().attach(uri(name), {});
        EXPECT_TRUE(target) << target.error().text();
        return target ? std::move(*target) : nullptr;
    }
    static std::optional<Stop> next_stop(Target& target) {
        for (const auto until = std::chrono::steady_clock::now() + kLimit; std::chrono::steady_clock::now() < until;) {
            const auto stop = target.wait(milliseconds(100));
            if (!stop) {
                ADD_FAILURE() << stop.error().text();
                return std::nullopt;
            }
            if (*stop) return **stop;
        }
        ADD_FAILURE() << "no stop came";
        return std::nullopt;
    }
    static std::uint64_t rip(Target& target, std::uint32_t vcpu) {
        const auto registers = target.registers(vcpu);
        EXPECT_TRUE(registers) << registers.error().text();
        if (!registers) return 0;
        for (const core::RegisterBytes& r : *registers)
            if (r.name == "rip" || r.name == "eip" || r.name == "pc") {
                std::uint64_t value = 0;
                for (std::size_t i = std::min<std::size_t>(8, r.bytes.size()); i-- > 0;)
                    value = value << 8 | std::to_integer<std::uint64_t>(r.bytes[i]);
                return value;
            }
        ADD_FAILURE() << "there is no rip";
        return 0;
    }
    int state() const {
        int now = 0, reason = 0;
        return virDomainGetState(domain.get(), &now, &reason, 0) == 0 ? now : -1;
    }
    template <typename Condition>
    static bool comes(Condition condition) {
        for (const auto until = std::chrono::steady_clock::now() + kLimit; std::chrono::steady_clock::now() < until;) {
            if (condition()) return true;
            std::this_thread::sleep_for(milliseconds(20));
        }
        return false;
    }
    bool marked() const {
        char* xml = virDomainGetXMLDesc(domain.get(), 0);
        const bool is = xml && parse_domain(xml)->marked;
        std::free(xml);
        return is;
    }
    void expect_untouched() const {
        EXPECT_EQ(state(), VIR_DOMAIN_RUNNING);
        EXPECT_EQ(*open_stub(domain.get()), std::nullopt);
        EXPECT_FALSE(marked());
    }

    static inline std::unique_ptr<test::Daemon> daemon;
    static inline std::string why_not;
    ConnectionPtr connection;
    DomainPtr domain;
    core::Plugins plugins;
};

TEST_F(Libvirtd, DomainsComeAndGoInTheListByItsEvents) {
    std::mutex mutex;
    std::condition_variable came;
    std::vector<std::string> lines;
    const core::TargetWatcher watcher(
        plugins.backends(),
        [&](const std::vector<core::TargetName>& now) {
            const std::lock_guard lock(mutex);
            lines.clear();
            for (const auto& t : now)
                if (t.uri == uri("seen")) lines.push_back(t.summary + (t.available ? "" : " " + t.why_not));
            came.notify_all();
        },
        std::chrono::hours(1));  // nobody looks by himself
    const auto shows = [&](std::string_view words) {
        std::unique_lock lock(mutex);
        return came.wait_for(lock, kLimit, [&] {
            return words.empty() ? lines.empty() : lines.size() == 1 && lines[0].find(words) != std::string::npos;
        });
    };
    EXPECT_TRUE(shows(""));
    create("seen");
    EXPECT_TRUE(shows("running, 2 vCPUs; no nested guests: it is emulated by TCG"));
    ASSERT_EQ(virDomainSuspend(domain.get()), 0);
    EXPECT_TRUE(shows("paused"));
    ASSERT_EQ(virDomainDestroy(domain.get()), 0);
    EXPECT_TRUE(shows(""));
}

TEST_F(Libvirtd, IsSteppedThroughTheStubAndLeftAsItWasAndAgain) {
    create("stepped");
    for (int round = 0; round < 2; ++round) {
        auto target = attach("stepped");
        ASSERT_TRUE(target);
        EXPECT_EQ(target->info().name, uri("stepped"));
        EXPECT_NE(target->info().pid, 0U);
        EXPECT_TRUE(std::any_of(target->info().notes.begin(), target->info().notes.end(),
                                [](const auto& n) { return n.find("TCG") != std::string::npos; }));
        EXPECT_TRUE(target->can(core::Ability::Instructions));
        EXPECT_TRUE(marked());
        ASSERT_TRUE(next_stop(*target));
        const auto vcpus = target->vcpus();
        ASSERT_TRUE(vcpus);
        ASSERT_EQ(vcpus->size(), 2U);
        EXPECT_NE((*vcpus)[0].tid, (*vcpus)[1].tid);
        // Its own code, once the BIOS has come so far.
        ASSERT_TRUE(target->insert_breakpoint(kBoot));
        ASSERT_TRUE(target->resume({{std::nullopt, std::nullopt}}));
        ASSERT_TRUE(next_stop(*target));
        EXPECT_EQ(rip(*target, 0), kBoot);
        ASSERT_TRUE(target->remove_breakpoint(kBoot));
        for (const std::uint64_t expected : {kBoot + 2, kBoot, kBoot + 2}) {
            ASSERT_TRUE(target->resume({{0U, core::StepKind::Instruction}}));
            ASSERT_TRUE(next_stop(*target));
            EXPECT_EQ(rip(*target, 0), expected);
        }
        const auto code = target->read_memory(0, core::Space::L1Linear, kBoot, 4);
        ASSERT_TRUE(code) << code.error().text();
        EXPECT_EQ(*code, (std::vector<std::byte>{std::byte{0x66}, std::byte{0x40}, std::byte{0xeb}, std::byte{0xfc}}));
        ASSERT_TRUE(target->detach());
        expect_untouched();
    }
}

TEST_F(Libvirtd, DestroyedWhileItIsAttachedToIsAnEndThatSaysSo) {
    create("doomed");
    for (const bool running : {false, true}) {
        if (state() != VIR_DOMAIN_RUNNING) create("doomed");
        auto target = attach("doomed");
        ASSERT_TRUE(target);
        ASSERT_TRUE(next_stop(*target));
        if (running) {
            ASSERT_TRUE(target->resume({{std::nullopt, std::nullopt}}));
        }
        ASSERT_EQ(virDomainDestroy(domain.get()), 0);
        const auto stop = next_stop(*target);
        ASSERT_TRUE(stop);
        EXPECT_EQ(stop->why, Stop::Why::GuestGone);
        EXPECT_EQ(stop->text, "The domain doomed was destroyed.");
        const auto registers = target->registers(0);
        ASSERT_FALSE(registers);
        EXPECT_NE(registers.error().text().find("was destroyed"), std::string::npos) << registers.error().text();
        EXPECT_TRUE(target->detach());
    }
}

TEST_F(Libvirtd, APausedDomainIsAttachedToAndPausedAgain) {
    create("asleep");
    ASSERT_EQ(virDomainSuspend(domain.get()), 0);
    auto target = attach("asleep");
    ASSERT_TRUE(target);
    ASSERT_TRUE(next_stop(*target));
    EXPECT_NE(rip(*target, 0), 0U);
    ASSERT_TRUE(target->detach());
    EXPECT_EQ(state(), VIR_DOMAIN_PAUSED);
    EXPECT_EQ(*open_stub(domain.get()), std::nullopt);
}

TEST_F(Libvirtd, ASecondAttachIsRefusedWhileTheFirstLasts) {
    create("shared");
    auto first = attach("shared");
    ASSERT_TRUE(first);
    const auto second = plugins.backends().attach(uri("shared"), {});
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().what.find("in use already"), std::string::npos) << second.error().text();
    first.reset();
    expect_untouched();
}

TEST_F(Libvirtd, AStubThatSomebodyElseHasOpenedIsUsedAndStaysOpen) {
    create("lent");
    ASSERT_TRUE(human_command(domain.get(), "gdbserver tcp:127.0.0.1:0"));
    const auto lent = open_stub(domain.get());
    ASSERT_TRUE(lent && *lent);
    auto target = attach("lent");
    ASSERT_TRUE(target);
    ASSERT_TRUE(next_stop(*target));
    ASSERT_TRUE(target->detach());
    EXPECT_TRUE(comes([&] { return *open_stub(domain.get()) == *lent; }));
    EXPECT_EQ(state(), VIR_DOMAIN_RUNNING);
}

TEST_F(Libvirtd, WhatAKilledProgramLeavesBehindIsFoundAndClosedByTheNext) {
    create("left");
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const std::string program = ::testing::internal::GetArgvs()[0];
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        ::dup2(ready[1], STDOUT_FILENO);
        ::setenv("VMXSCOPE_TEST_ATTACH", uri("left").c_str(), 1);
        ::execl(program.c_str(), program.c_str(), "--gtest_filter=Killed.AttachesAndWaits", nullptr);
        ::_exit(127);
    }
    ::close(ready[1]);
    std::string said;
    char c = 0;
    while (said.find("attached\n") == std::string::npos && ::read(ready[0], &c, 1) == 1) said += c;
    EXPECT_NE(said.find("attached\n"), std::string::npos) << said;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ready[0]);
    ASSERT_TRUE(comes([&] {
        const auto stub = open_stub(domain.get());
        return stub && *stub && !(*stub)->taken;
    }));
    EXPECT_TRUE(marked());
    EXPECT_TRUE(comes([&] {
        const auto all = plugins.backends().list();
        return std::any_of(all.begin(), all.end(), [&](const auto& t) {
            return t.uri == uri("left") && t.summary.find("stub of vmxscope's is open") != std::string::npos;
        });
    }));
    auto target = attach("left");
    ASSERT_TRUE(target);
    EXPECT_TRUE(std::any_of(target->info().notes.begin(), target->info().notes.end(),
                            [](const auto& n) { return n.find("killed") != std::string::npos; }));
    ASSERT_TRUE(next_stop(*target));
    ASSERT_TRUE(target->detach());
    expect_untouched();
}

/// What the test above starts and kills.
TEST(Killed, AttachesAndWaits) {
    const char* uri = std::getenv("VMXSCOPE_TEST_ATTACH");
    if (!uri) GTEST_SKIP() << "run by another test";
    const auto plugins = app::load_plugins();
    const auto target = plugins.backends().attach(uri, {});
    if (!target) GTEST_FAIL() << target.error().text();
    std::puts("attached");
    std::fflush(stdout);
    for (;;) ::pause();
}

}  // namespace
}  // namespace vmxscope::libvirt
