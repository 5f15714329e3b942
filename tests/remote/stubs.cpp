#include "stubs.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace vmxscope::test {

namespace {

/// 7c00: mov ax,1   7c03: inc ax   7c04: mov bx,ax   7c06: mov [0x500],ax   7c09: jmp 7c03
constexpr unsigned char kCode[] = {0xb8, 0x01, 0x00, 0x40, 0x89, 0xc3, 0xa3, 0x00, 0x05, 0xeb, 0xf8};

void write_boot_sector(const std::string& path) {
    std::string sector(512, '\0');
    std::memcpy(sector.data(), kCode, sizeof kCode);
    sector[510] = 0x55;
    sector[511] = static_cast<char>(0xaa);
    std::ofstream(path, std::ios::binary) << sector;
}

template <typename Condition>
void wait_until(const char* what, Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) throw std::runtime_error(what);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

core::Fd connect_unix(const std::string& path) {
    core::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd.reset();
    return fd;
}

/// A port that nobody has: bound, looked at, and let go.
unsigned free_port() {
    const core::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size);
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

/// Somebody listens on this port, without being connected to: gdbserver takes one client only.
bool listens(unsigned port) {
    std::ifstream table("/proc/net/tcp");
    char wanted[16];
    std::snprintf(wanted, sizeof wanted, ":%04X ", port);
    for (std::string line; std::getline(table, line);)
        if (line.find(wanted) < 24 && line.find(" 0A ") != std::string::npos) return true;
    return false;
}

/// A socket's file is there before anybody listens on it.
bool listens(const std::string& path) {
    std::ifstream table("/proc/net/unix");
    for (std::string line; std::getline(table, line);)
        if (line.ends_with(" " + path) && line.find(" 00010000 ") != std::string::npos) return true;  // __SO_ACCEPTCON
    return false;
}

}  // namespace

Spawned::Spawned(const std::vector<std::string>& arguments) : pid_(::fork()) {
    if (pid_ != 0) return;
    std::vector<char*> argv;
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    const int null = ::open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2}) ::dup2(null, fd);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
}

bool Spawned::ended() {
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    return pid_ < 0;
}

Spawned::~Spawned() {
    if (ended()) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

Qemu::Qemu(unsigned vcpus) {
    char folder[] = "/tmp/vmxscope-qemu-XXXXXX";
    folder_ = ::mkdtemp(folder);
    write_boot_sector(folder_ + "/boot");
    qemu_ = new Spawned({"qemu-system-x86_64", "-accel", "tcg", "-S", "-nodefaults", "-display", "none", "-m", "16",
                         "-smp", std::to_string(vcpus), "-gdb", "unix:" + rest() + ",server=on,wait=off", "-monitor",
                         "unix:" + folder_ + "/monitor,server=on,wait=off", "-drive",
                         "file=" + folder_ + "/boot,format=raw,if=floppy"});
    for (const std::string& socket : {rest(), folder_ + "/monitor"})
        wait_until("QEMU does not start", [&] { return listens(socket) || qemu_->ended(); });
}

Qemu::~Qemu() {
    delete qemu_;
    std::filesystem::remove_all(folder_);
}

std::string Qemu::monitor(const std::string& command) const {
    const core::Fd fd = connect_unix(folder_ + "/monitor");
    std::string said;
    const auto until_prompt = [&] {
        said.clear();
        for (pollfd p{fd.get(), POLLIN, 0}; !said.ends_with("(qemu) ") && ::poll(&p, 1, 20000) == 1;) {
            char buffer[4096];
            const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
            if (n <= 0) break;
            said.append(buffer, static_cast<std::size_t>(n));
        }
    };
    until_prompt();
    if (::write(fd.get(), (command + "\n").c_str(), command.size() + 1) < 0) return "";
    until_prompt();
    return said;
}

Gdbserver::Gdbserver(const std::vector<std::string>& program) : port_(free_port()) {
    std::vector<std::string> arguments = {"gdbserver", "--once", rest()};
    arguments.insert(arguments.end(), program.begin(), program.end());
    server_ = new Spawned(arguments);
    wait_until("gdbserver does not listen", [&] { return listens(port_) || server_->ended(); });
}

Gdbserver::~Gdbserver() {
    delete server_;
}

std::string Gdbserver::rest() const {
    return "127.0.0.1:" + std::to_string(port_);
}

}  // namespace vmxscope::test
