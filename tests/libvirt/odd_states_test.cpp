// Domains in states in which nothing can be attached to, on libvirt's own test driver, whose domains live in this
// process.
#include <gtest/gtest.h>
#include <libvirt/libvirt.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/fd.h"
#include "core/target_watcher.h"
#include "plugins/libvirt/connection.h"
#include "plugins/libvirt/libvirt_backend.h"

namespace vmxscope::libvirt {
namespace {

constexpr const char* kUri = "test:///default";
constexpr std::chrono::seconds kLimit{60};  // far more than any of it takes

class OddStates : public ::testing::Test {
  protected:
    OddStates() {
        ::setenv("VMXSCOPE_LIBVIRT_URI", kUri, 1);
        backends.add(libvirt_backend());
        auto opened = open_connection(kUri, false, {}, kLimit);
        EXPECT_TRUE(opened);
        if (opened) connection = std::move(*opened);
    }
    ~OddStates() override { ::unsetenv("VMXSCOPE_LIBVIRT_URI"); }

    DomainPtr create(const std::string& name) {
        const std::string xml = "<domain type='test'><name>" + name +
                                "</name><memory>8192</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>";
        return DomainPtr(virDomainDefineXML(connection.get(), xml.c_str()));
    }
    /// Waits for a line of that domain that `fits`; told by events, as nobody looks by himself within the limit.
    template <typename Fits>
    bool shows(const std::string& name, Fits fits) {
        std::mutex mutex;
        std::condition_variable came;
        bool found = false;
        const core::TargetWatcher watcher(
            backends,
            [&](const std::vector<core::TargetName>& now) {
                const core::TargetName* line = nullptr;
                for (const auto& t : now)
                    if (t.uri == std::string("libvirt:") + kUri + "#" + name) line = &t;
                const std::lock_guard lock(mutex);
                found |= fits(line);
                came.notify_all();
            },
            std::chrono::hours(1));
        std::unique_lock lock(mutex);
        return came.wait_for(lock, kLimit, [&] { return found; });
    }
    bool says(const std::string& name, std::string_view words) {
        return shows(name, [&](const core::TargetName* line) {
            return line && !line->available && (line->summary + " " + line->why_not).find(words) != std::string::npos;
        });
    }
    std::string refusal(const std::string& rest) { return backends.attach("libvirt:" + rest, {}).error().text(); }

    core::Backends backends;
    ConnectionPtr connection;
};

TEST_F(OddStates, ARunningDomainOfAnotherDriverIsNoGuestOfQemus) {
    EXPECT_TRUE(says("test", "no guest of QEMU's"));
    EXPECT_NE(refusal("test").find("no guests of QEMU's"), std::string::npos);
}

TEST_F(OddStates, PausedShutOffAndUndefinedAreToldAsTheyCome) {
    const DomainPtr domain = create("passing");
    ASSERT_TRUE(domain);
    EXPECT_TRUE(says("passing", "is shut off. Start it: virsh -c 'test:///default' start passing"));
    EXPECT_NE(refusal("passing").find("is shut off"), std::string::npos);
    ASSERT_EQ(virDomainCreate(domain.get()), 0);
    EXPECT_TRUE(says("passing", "running"));
    ASSERT_EQ(virDomainSuspend(domain.get()), 0);
    EXPECT_TRUE(says("passing", "paused"));
    ASSERT_EQ(virDomainDestroy(domain.get()), 0);
    EXPECT_TRUE(says("passing", "shut off"));
    ASSERT_EQ(virDomainUndefine(domain.get()), 0);
    EXPECT_TRUE(shows("passing", [](const core::TargetName* line) { return line == nullptr; }));
    EXPECT_NE(refusal("passing").find("knows no domain 'passing'"), std::string::npos);
}

TEST_F(OddStates, ACrashedDomainSaysSo) {
    const DomainPtr domain = create("fragile");
    ASSERT_TRUE(domain);
    ASSERT_EQ(virDomainCreate(domain.get()), 0);
    ASSERT_EQ(virDomainCoreDump(domain.get(), "/dev/null", VIR_DUMP_CRASH), 0);
    EXPECT_TRUE(says("fragile", "is shut off, as it has crashed"));
    EXPECT_NE(refusal("fragile").find("crashed"), std::string::npos);
    (void)virDomainUndefine(domain.get());
}

TEST_F(OddStates, DomainsAreFoundByNameUuidAndId) {
    DomainPtr domain(virDomainLookupByName(connection.get(), "test"));
    ASSERT_TRUE(domain);
    char uuid[VIR_UUID_STRING_BUFLEN];
    ASSERT_EQ(virDomainGetUUIDString(domain.get(), uuid), 0);
    for (const std::string& name :
         {std::string("test"), std::string(uuid), std::to_string(virDomainGetID(domain.get()))})
        EXPECT_NE(refusal(name).find("no guests of QEMU's"), std::string::npos) << name;
    EXPECT_NE(refusal("99999999").find("knows no domain"), std::string::npos);
}

TEST_F(OddStates, NoLibvirtdIsALineThatSaysWhyAndNoHang) {
    constexpr const char* kNowhere = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";
    ::setenv("VMXSCOPE_LIBVIRT_URI", kNowhere, 1);
    core::Backends all;
    all.add(libvirt_backend());
    const auto lines = all.list();
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_FALSE(lines[0].available);
    EXPECT_NE(lines[0].why_not.find("cannot be reached"), std::string::npos) << lines[0].why_not;
    const auto target = all.attach("libvirt:l1", {});
    ASSERT_FALSE(target);
    EXPECT_NE(target.error().what.find("cannot be reached"), std::string::npos);
}

TEST_F(OddStates, AnAttachIsGivenUpWhenItsProgressSaysSo) {
    // Nothing answers on a socket that only listens.
    char folder[] = "/tmp/vmxscope-silent-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    const std::string path = std::string(folder) + "/libvirt-sock";
    const auto listening = [&] {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(fd, 4), 0);
        return core::Fd(fd);
    }();
    int asked = 0;
    const auto target = backends.attach("libvirt:qemu+unix:///system?socket=" + path + "#l1",
                                        [&](std::string_view, double) { return ++asked < 3; });
    ASSERT_FALSE(target);
    EXPECT_NE(target.error().what.find("cancelled"), std::string::npos) << target.error().text();
    ::unlink(path.c_str());
    ::rmdir(folder);
}

}  // namespace
}  // namespace vmxscope::libvirt
