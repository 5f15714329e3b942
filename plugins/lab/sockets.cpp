#include "plugins/lab/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "core/fd.h"

namespace vmxscope::lab {
namespace {

constexpr std::chrono::milliseconds kTick{100};

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

core::Fd new_socket() {
    return core::Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

/// A connection to a loopback port; nothing if nobody listens there yet. (Connecting to loopback does not block.)
std::optional<core::Fd> connect_once(std::uint16_t port) {
    core::Fd fd = new_socket();
    const sockaddr_in address = loopback(port);
    if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return std::nullopt;
    return fd;
}

core::Result<core::Fd> connect_to_port(std::uint16_t port, const KeepOn& keep_on) {
    for (;;) {
        if (auto fd = connect_once(port)) return std::move(*fd);
        if (auto go = keep_on(); !go) return tl::unexpected(go.error());
        std::this_thread::sleep_for(kTick);
    }
}

/// Sends all of `bytes` and then tells the other end that nothing more comes. False when the connection broke.
core::Result<bool> send_all(int fd, std::string_view bytes, const KeepOn& keep_on) {
    while (!bytes.empty()) {
        pollfd p{fd, POLLOUT, 0};
        if (poll(&p, 1, static_cast<int>(kTick.count())) > 0) {
            const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
            if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
        }
        if (auto go = keep_on(); !go) return tl::unexpected(go.error());
    }
    return true;
}

/// Reads until the other end closes, giving each piece to `take`.
core::Result<void> read_to_end(int fd, const KeepOn& keep_on, const std::function<void(std::string_view)>& take) {
    char buffer[16384];
    for (;;) {
        pollfd p{fd, POLLIN, 0};
        if (poll(&p, 1, static_cast<int>(kTick.count())) > 0) {
            const ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return {};
            if (n > 0) take({buffer, static_cast<std::size_t>(n)});
        }
        if (auto go = keep_on(); !go) return go;
    }
}

constexpr std::string_view kStatusMark = "\nvmxscope-status ";
constexpr std::size_t kMarkRoom = kStatusMark.size() + 16;  // the mark, a number, a newline

}  // namespace

core::Result<std::vector<std::uint16_t>> free_ports(std::size_t count) {
    std::vector<core::Fd> held;  // until all are found, so that they differ
    std::vector<std::uint16_t> ports;
    while (ports.size() < count) {
        core::Fd fd = new_socket();
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (!fd || bind(fd.get(), generic, size) != 0 || getsockname(fd.get(), generic, &size) != 0)
            return core::fail(fmt::format("No free port of 127.0.0.1 is found: {}.", std::strerror(errno)),
                              "Check that the loopback interface is up: ip link set lo up");
        ports.push_back(ntohs(address.sin_port));
        held.push_back(std::move(fd));
    }
    return ports;
}

core::Result<void> send_archive(std::uint16_t port, std::string_view archive, const KeepOn& keep_on) {
    constexpr int kTries = 5;
    for (int i = 0; i < kTries; ++i) {
        auto fd = connect_to_port(port, keep_on);
        if (!fd) return tl::unexpected(fd.error());
        auto sent = send_all(fd->get(), archive, keep_on);
        if (!sent) return tl::unexpected(sent.error());
        if (!*sent) continue;
        shutdown(fd->get(), SHUT_WR);
        std::string answer;
        auto read = read_to_end(fd->get(), keep_on, [&](std::string_view piece) { answer += piece; });
        if (!read) return read;
        if (answer.find("loaded") != std::string::npos) return {};
        if (!answer.empty())
            return core::fail(fmt::format("The lab could not unpack its files: {}", answer),
                              "Rebuild its image: remove the cache directory and start the lab again.");
    }
    return core::fail("The lab does not take its files.", "Look at its log: vmxscopectl lab console");
}

core::Result<CommandResult> run_command(std::uint16_t port, std::string_view command, const KeepOn& keep_on,
                                        const std::function<void(std::string_view)>& on_output) {
    auto fd = connect_to_port(port, keep_on);
    if (!fd) return tl::unexpected(fd.error());
    const std::string script =
        fmt::format("(\n{}\n) </dev/null\nprintf '\\nvmxscope-status %d\\n' $?\nexit\n", command);
    auto sent = send_all(fd->get(), script, keep_on);
    if (!sent) return tl::unexpected(sent.error());
    CommandResult result;
    std::size_t told = 0;
    const auto tell_up_to = [&](std::size_t end) {
        if (on_output && end > told) on_output(std::string_view(result.output).substr(told, end - told));
        told = std::max(told, end);
    };
    auto read = read_to_end(fd->get(), keep_on, [&](std::string_view piece) {
        result.output += piece;
        tell_up_to(result.output.size() - std::min(result.output.size(), kMarkRoom));
    });
    if (!read) return tl::unexpected(read.error());
    const std::size_t mark = result.output.rfind(kStatusMark);
    if (mark == std::string::npos)
        return core::fail("The lab's shell ended before the command did.", "See what it says: vmxscopectl lab console");
    const char* number = result.output.data() + mark + kStatusMark.size();
    std::from_chars(number, result.output.data() + result.output.size(), result.status);
    tell_up_to(mark);
    result.output.resize(mark);
    return result;
}

std::string shell_quoted(std::string_view text) {
    std::string out = "'";
    for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

std::string shell_command(const std::vector<std::string>& arguments) {
    if (arguments.size() == 1) return arguments[0];
    std::string line;
    for (const std::string& a : arguments) line += (line.empty() ? "" : " ") + shell_quoted(a);
    return line;
}

}  // namespace vmxscope::lab
