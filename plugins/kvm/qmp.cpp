#include "plugins/kvm/qmp.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace vmxscope::kvm {
namespace {

constexpr std::size_t kMaxLine = 1 << 16;

/// One answer is one line. Events may come in between.
core::Result<std::string> read_line(int fd) {
    std::string line;
    char c = 0;
    while (line.size() < kMaxLine) {
        if (::recv(fd, &c, 1, 0) != 1) return core::fail("QEMU's monitor did not answer.");
        if (c == '\n') return line;
        line += c;
    }
    return core::fail("QEMU's monitor answered with a line of over 64 KiB.");
}

core::Result<void> command(int fd, std::string_view text) {
    if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) return core::fail("QEMU's monitor closed the connection.");
    for (;;) {
        const auto line = read_line(fd);
        if (!line) return tl::unexpected(line.error());
        if (line->find("\"return\"") != std::string::npos) return {};
        if (line->find("\"error\"") != std::string::npos) return core::fail(fmt::format("QEMU's monitor refused {}: {}", text, *line));
    }
}

core::Result<void> talk(int fd, const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return core::fail(fmt::format("The socket's path is too long: {}.", path));
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const timeval limit{30, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
        return core::fail(fmt::format("QEMU's monitor at {} cannot be reached: {}.", path, std::strerror(errno)));
    if (const auto greeting = read_line(fd); !greeting) return tl::unexpected(greeting.error());
    if (const auto ok = command(fd, "{\"execute\":\"qmp_capabilities\"}\n"); !ok) return ok;
    return command(fd, "{\"execute\":\"cont\"}\n");
}

}  // namespace

core::Result<void> qmp_continue(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return core::fail(fmt::format("No socket: {}.", std::strerror(errno)));
    const auto result = talk(fd, path);
    ::close(fd);
    return result;
}

}  // namespace vmxscope::kvm
