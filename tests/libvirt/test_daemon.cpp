#include "tests/libvirt/test_daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "plugins/libvirt/connection.h"

namespace vmxscope::libvirt::test {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;
constexpr const char* kLibvirtd = "/usr/sbin/libvirtd";
constexpr const char* kQemu = "/usr/bin/qemu-system-x86_64";
constexpr auto kLimit = std::chrono::seconds(60);
constexpr std::size_t kFloppy = 1440u << 10;

bool write(const std::string& path, const std::string& text) {
    std::ofstream out(path, std::ios::binary);
    out << text;
    return out.good();
}

/// A boot sector: inc %eax; jmp back to it.
std::string floppy() {
    std::string image(kFloppy, '\0');
    const std::array<unsigned char, 4> code{0x66, 0x40, 0xeb, 0xfc};
    std::memcpy(image.data(), code.data(), code.size());
    image[510] = '\x55';
    image[511] = '\xaa';
    return image;
}

/// In the child: root's rights are given up, and libvirtd ends with the test.
void become_libvirtd(const std::string& folder) {
    if (::geteuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0))
        ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int log = ::open((folder + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    const std::array<std::string, 6> environment{
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",  "HOME=" + folder,
        "XDG_RUNTIME_DIR=" + folder + "/run",  "XDG_CONFIG_HOME=" + folder + "/config",
        "XDG_CACHE_HOME=" + folder + "/cache", "XDG_DATA_HOME=" + folder + "/data"};
    std::array<char*, environment.size() + 1> pointers{};
    for (std::size_t i = 0; i < environment.size(); ++i) pointers[i] = const_cast<char*>(environment[i].c_str());
    const std::string config = folder + "/libvirtd.conf", pidfile = folder + "/pid";
    const char* arguments[] = {"libvirtd", "-f", config.c_str(), "-p", pidfile.c_str(), nullptr};
    ::execve(kLibvirtd, const_cast<char**>(arguments), pointers.data());
    ::_exit(127);
}

std::string tail(const std::string& path) {
    std::ifstream in(path);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    return text.size() > 2000 ? text.substr(text.size() - 2000) : text;
}

}  // namespace

Daemon::Daemon(std::string folder)
    : folder_(std::move(folder)), uri_(fmt::format("qemu+unix:///session?socket={}/run/libvirt-sock", folder_)) {}

core::Result<void> Daemon::write_files() const {
    std::error_code error;
    for (const char* sub : {"/run", "/config/libvirt", "/cache", "/data"}) fs::create_directories(folder_ + sub, error);
    const bool written =
        write(folder_ + "/libvirtd.conf",
              fmt::format("unix_sock_dir = \"{}/run\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n", folder_)) &&
        write(folder_ + "/config/libvirt/qemu.conf", "security_driver = \"none\"\nstdio_handler = \"file\"\n") &&
        write(folder_ + "/boot.img", floppy());
    if (!written) return core::fail(fmt::format("{} cannot be filled.", folder_));
    if (::geteuid() == 0) {
        if (::chown(folder_.c_str(), kNobody, kNobody) != 0) return core::fail("chown");
        for (const auto& entry : fs::recursive_directory_iterator(folder_, error))
            if (::lchown(entry.path().c_str(), kNobody, kNobody) != 0) return core::fail(entry.path().string());
    }
    return {};
}

core::Result<void> Daemon::spawn() {
    pid_ = ::fork();
    if (pid_ < 0) return core::fail(fmt::format("fork: {}", std::strerror(errno)));
    if (pid_ == 0) become_libvirtd(folder_);
    for (const auto until = std::chrono::steady_clock::now() + kLimit; std::chrono::steady_clock::now() < until;) {
        if (open_connection(uri_, false, {}, kLimit)) return {};
        if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
            pid_ = -1;
            break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return core::fail("libvirtd does not start: " + tail(folder_ + "/log"));
}

core::Result<std::unique_ptr<Daemon>> Daemon::start() {
    for (const char* program : {kLibvirtd, kQemu})
        if (::access(program, X_OK) != 0) return core::fail(fmt::format("{} is not installed.", program));
    char folder[] = "/tmp/vmxscope-libvirtd-XXXXXX";
    if (!::mkdtemp(folder)) return core::fail("mkdtemp");
    std::unique_ptr<Daemon> daemon(new Daemon(folder));
    if (auto written = daemon->write_files(); !written) return tl::unexpected(written.error());
    if (auto spawned = daemon->spawn(); !spawned) return tl::unexpected(spawned.error());
    return daemon;
}

void Daemon::end_domains() const {
    const auto connection = open_connection(uri_, false, {}, kLimit);
    virDomainPtr* all = nullptr;
    const int count =
        connection ? virConnectListAllDomains(connection->get(), &all, VIR_CONNECT_LIST_DOMAINS_ACTIVE) : 0;
    for (int i = 0; i < count; ++i) {
        const DomainPtr domain(all[i]);
        virDomainDestroy(domain.get());
    }
    std::free(all);
}

Daemon::~Daemon() {
    if (pid_ > 0) {
        end_domains();
        ::kill(pid_, SIGTERM);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    std::error_code error;
    fs::remove_all(folder_, error);
}

std::string Daemon::domain_xml(const std::string& name) const {
    return fmt::format(R"(<domain type='qemu'>
  <name>{}</name>
  <memory unit='MiB'>16</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='fd'/></os>
  <features><acpi/></features>
  <devices>
    <emulator>{}</emulator>
    <disk type='file' device='floppy'><source file='{}/boot.img'/><target dev='fda'/><readonly/></disk>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>)",
                       name, kQemu, folder_);
}

}  // namespace vmxscope::libvirt::test
