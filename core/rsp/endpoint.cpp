#include "core/rsp/endpoint.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>

namespace vmxscope::core::rsp {

namespace {

constexpr std::string_view kForms =
    "Write tcp:HOST:PORT (tcp:127.0.0.1:4000) or unix:PATH (unix:/run/vmxscope/agent.sock).";
constexpr int kConnectSliceMs = 100;  // how often `progress` is asked
constexpr int kBacklog = 32;
constexpr int kConnectLimitMs = 15000;  // a host that drops packets answers nothing for minutes

std::string why() {
    return std::strerror(errno);
}

Result<Fd> new_socket(int family) {
    Fd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return fail(fmt::format("No socket can be made: {}.", why()));
    return fd;
}

Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return fail(fmt::format("The socket path {} is longer than the {} bytes Linux allows.", path,
                                sizeof address.sun_path - 1),
                    "Use a shorter path.");
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> resolve(const Endpoint& endpoint, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
    if (error != 0)
        return fail(fmt::format("The host '{}' is not known: {}.", endpoint.host, ::gai_strerror(error)),
                    "Check its spelling.");
    return AddressList(found, &::freeaddrinfo);
}

bool is_loopback(const sockaddr* address) {
    if (address->sa_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, address, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (address->sa_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, address, sizeof in);
        return IN6_IS_ADDR_LOOPBACK(&in.sin6_addr);
    }
    return false;
}

/// Completes a non-blocking connect(); the error number, 0 when connected, ECANCELED when `progress` gave up.
int finish_connect(int fd, const Endpoint& endpoint, const Progress& progress) {
    const std::string step = "connecting to " + endpoint.text();
    for (int waited = 0; waited < kConnectLimitMs; waited += kConnectSliceMs) {
        if (progress && !progress(step, -1)) return ECANCELED;
        pollfd p{fd, POLLOUT, 0};
        if (::poll(&p, 1, kConnectSliceMs) <= 0) continue;
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        return error;
    }
    return ETIMEDOUT;
}

Result<void> connect_address(int fd, const sockaddr* address, socklen_t size, const Endpoint& endpoint,
                             const Progress& progress) {
    int error = ::connect(fd, address, size) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = finish_connect(fd, endpoint, progress);
    // A unix socket says so when too many already wait for its server, which may take a while over one of them.
    for (int waited = 0; error == EAGAIN && waited < kConnectLimitMs; waited += kConnectSliceMs) {
        if (progress && !progress("connecting to " + endpoint.text(), -1)) error = ECANCELED;
        ::poll(nullptr, 0, kConnectSliceMs);
        if (error == EAGAIN) error = ::connect(fd, address, size) == 0 ? 0 : errno;
    }
    switch (error) {
        case 0:
            return {};
        case ECANCELED:
            return fail(fmt::format("Connecting to {} was given up.", endpoint.text()));
        case ENOENT:
        case ECONNREFUSED:
            return fail(fmt::format("Nobody listens on {}.", endpoint.text()),
                        "Start vmxscope-agent there, or check the address.");
        case EACCES:
            return fail(fmt::format("You are not allowed to connect to {}.", endpoint.text()),
                        "Run as root, or as a member of the socket's group.");
        case EAGAIN:
            return fail(fmt::format("The agent on {} is busy.", endpoint.text()),
                        "Wait for its other clients to leave.");
        default:
            return fail(fmt::format("No connection to {}: {}.", endpoint.text(), std::strerror(error)));
    }
}

Result<void> give_to_group(const std::string& path, const std::string& group) {
    if (group.empty()) return {};
    const struct group* found = ::getgrnam(group.c_str());
    if (found == nullptr)
        return fail(fmt::format("There is no group '{}'.", group),
                    fmt::format("Make it with: groupadd --system {}", group));
    if (::chown(path.c_str(), static_cast<uid_t>(-1), found->gr_gid) != 0)
        return fail(fmt::format("{} cannot be given to the group '{}': {}.", path, group, why()),
                    "Run as root or as a member of the group.");
    return {};
}

/// Makes way for a new socket at `path`: a socket file nobody answers on goes, everything else stays.
Result<void> clear_stale(const Endpoint& endpoint, const sockaddr_un& address) {
    struct stat status {};
    if (::lstat(endpoint.path.c_str(), &status) != 0) return {};
    if (!S_ISSOCK(status.st_mode))
        return fail(fmt::format("{} exists and is not a socket.", endpoint.path), "Remove it, or choose another path.");
    auto probe = new_socket(AF_UNIX);
    if (!probe) return tl::unexpected(probe.error());
    if (::connect(probe->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno == ECONNREFUSED) {
        if (::unlink(endpoint.path.c_str()) == 0 || errno == ENOENT) return {};
        return fail(fmt::format("The left-over socket {} cannot be removed: {}.", endpoint.path, why()),
                    "Remove it, or choose another path.");
    }
    return fail(fmt::format("Another program already listens on {}.", endpoint.path),
                "Stop it, or choose another path.");
}

}  // namespace

std::string Endpoint::text() const {
    if (kind == Kind::Unix) return "unix:" + path;
    return host.find(':') == std::string::npos ? fmt::format("tcp:{}:{}", host, port)
                                               : fmt::format("tcp:[{}]:{}", host, port);
}

Result<Endpoint> parse_endpoint(std::string_view text) {
    const auto wrong = [&] {
        return fail(fmt::format("'{}' is not an address to connect to.", text), std::string(kForms));
    };
    Endpoint endpoint;
    if (text.starts_with("unix:")) {
        endpoint.kind = Endpoint::Kind::Unix;
        endpoint.path = text.substr(5);
        if (endpoint.path.empty() || endpoint.path.find('\0') != std::string::npos) return wrong();
        return endpoint;
    }
    if (!text.starts_with("tcp:")) return wrong();
    const std::string_view rest = text.substr(4);
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos) return wrong();
    std::string_view host = rest.substr(0, colon);
    const std::string_view port = rest.substr(colon + 1);
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return wrong();
    }
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    if (host.empty() || host.find('\0') != std::string_view::npos || error != std::errc{} ||
        end != port.data() + port.size())
        return wrong();
    endpoint.host = host;
    return endpoint;
}

Result<Fd> connect_to(const Endpoint& endpoint, const Progress& progress) {
    if (endpoint.kind == Endpoint::Kind::Unix) {
        auto address = unix_address(endpoint.path);
        if (!address) return tl::unexpected(address.error());
        auto fd = new_socket(AF_UNIX);
        if (!fd) return fd;
        auto done = connect_address(fd->get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address, endpoint,
                                    progress);
        if (!done) return tl::unexpected(done.error());
        return fd;
    }
    auto addresses = resolve(endpoint, 0);
    if (!addresses) return tl::unexpected(addresses.error());
    Result<Fd> last = fail(fmt::format("The host '{}' has no address.", endpoint.host));
    for (const addrinfo* a = addresses->get(); a != nullptr; a = a->ai_next) {
        last = new_socket(a->ai_family);
        if (!last) continue;
        auto done = connect_address(last->get(), a->ai_addr, a->ai_addrlen, endpoint, progress);
        if (done) return last;
        last = tl::unexpected(done.error());
    }
    return last;
}

namespace {

Result<Fd> listen_unix(const Endpoint& endpoint, const ListenOptions& options) {
    auto address = unix_address(endpoint.path);
    if (!address) return tl::unexpected(address.error());
    if (auto clear = clear_stale(endpoint, *address); !clear) return tl::unexpected(clear.error());
    auto fd = new_socket(AF_UNIX);
    if (!fd) return fd;
    // The folder of our own is gone after every boot; no other is made, whose name might be a slip.
    if (std::string_view(endpoint.path).starts_with(std::string(kSocketFolder) + "/"))
        ::mkdir(std::string(kSocketFolder).c_str(), 0755);
    if (::bind(fd->get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
        return fail(fmt::format("No socket can be made at {}: {}.", endpoint.path, why()),
                    "Check that its folder exists and that you may write to it.");
    // Nobody can connect before listen(), so nobody gets in while the file still has the wrong owner or mode.
    auto given = give_to_group(endpoint.path, options.group);
    if (given && ::chmod(endpoint.path.c_str(), 0660) != 0)
        given = fail(fmt::format("{} cannot be closed to others: {}.", endpoint.path, why()));
    if (given && ::listen(fd->get(), kBacklog) != 0)
        given = fail(fmt::format("Nobody can listen on {}: {}.", endpoint.path, why()));
    if (!given) {
        ::unlink(endpoint.path.c_str());
        return tl::unexpected(given.error());
    }
    return fd;
}

Result<Fd> listen_tcp(Endpoint& endpoint, const ListenOptions& options) {
    auto addresses = resolve(endpoint, AI_PASSIVE);
    if (!addresses) return tl::unexpected(addresses.error());
    const addrinfo* a = addresses->get();
    if (!options.trust_network && !is_loopback(a->ai_addr))
        return fail(fmt::format("{} can be reached from other machines, and whoever connects controls the guest.",
                                endpoint.text()),
                    "Listen on 127.0.0.1 and tunnel through ssh, or say that the network is to be trusted.");
    auto fd = new_socket(a->ai_family);
    if (!fd) return fd;
    const int on = 1;
    ::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd->get(), a->ai_addr, a->ai_addrlen) != 0 || ::listen(fd->get(), kBacklog) != 0)
        return fail(fmt::format("Nobody can listen on {}: {}.", endpoint.text(), why()),
                    "Choose another port, or stop the program that has it.");
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    ::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&bound), &size);
    char port[8] = "";
    ::getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, nullptr, 0, port, sizeof port, NI_NUMERICSERV);
    std::from_chars(port, port + std::strlen(port), endpoint.port);
    return fd;
}

}  // namespace

Result<Listener> listen_on(const Endpoint& endpoint, const ListenOptions& options) {
    Endpoint actual = endpoint;
    auto fd = endpoint.kind == Endpoint::Kind::Unix ? listen_unix(endpoint, options) : listen_tcp(actual, options);
    if (!fd) return tl::unexpected(fd.error());
    return Listener(std::move(*fd), std::move(actual));
}

Listener& Listener::operator=(Listener&& other) noexcept {
    if (this != &other) {
        remove_file();
        fd_ = std::move(other.fd_);
        endpoint_ = std::move(other.endpoint_);
        other.fd_.reset();
    }
    return *this;
}

Listener::~Listener() {
    remove_file();
}

void Listener::remove_file() {
    if (fd_ && endpoint_.kind == Endpoint::Kind::Unix) ::unlink(endpoint_.path.c_str());
}

std::string peer_of(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "Another client";
    if (address.ss_family == AF_UNIX) {
        ucred who{};
        socklen_t length = sizeof who;
        if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0 || who.pid <= 0) return "Another client";
        std::string name;
        std::getline(std::ifstream(fmt::format("/proc/{}/comm", who.pid)), name);
        return fmt::format("{} (process {})", name.empty() ? "A client" : name, who.pid);
    }
    char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
    if (::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return "Another client";
    return fmt::format("The client at {}:{}", host, port);
}

}  // namespace vmxscope::core::rsp
