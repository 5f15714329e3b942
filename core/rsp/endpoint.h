// Where a GDB-remote server listens and a client connects: "tcp:HOST:PORT" or "unix:PATH".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/fd.h"
#include "core/result.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

/// Agents on this machine put their sockets here; listen_on() makes it, the `unix` backend lists it.
inline constexpr std::string_view kSocketFolder = "/run/vmxscope";

struct Endpoint {
    enum class Kind : std::uint8_t { Tcp, Unix };
    Kind kind = Kind::Tcp;
    std::string host;        // Tcp: a name or an address ("127.0.0.1", "::1", "localhost")
    std::uint16_t port = 0;  // Tcp: 0 = any free port (listening only)
    std::string path;        // Unix

    std::string text() const;  // as parse_endpoint() reads it: "tcp:[::1]:4000"
    bool operator==(const Endpoint&) const = default;
};

/// "tcp:HOST:PORT" (an IPv6 address in brackets) or "unix:PATH". Everything else is an Error that shows both forms.
Result<Endpoint> parse_endpoint(std::string_view text);

/// A connected, non-blocking, close-on-exec socket. `progress` is asked several times a second whether to go on.
Result<Fd> connect_to(const Endpoint& endpoint, const Progress& progress);

struct ListenOptions {
    std::string group = {};      // Unix: who, besides the owner, may connect; empty = the caller's own group
    bool trust_network = false;  // Tcp: also listen on addresses that other machines can reach
};

/// A listening socket. A unix socket's file is removed with it.
class Listener {
  public:
    Listener(Listener&&) noexcept = default;
    Listener& operator=(Listener&& other) noexcept;
    ~Listener();

    int fd() const { return fd_.get(); }
    const Endpoint& endpoint() const { return endpoint_; }  // with the port the system chose, where it was 0

  private:
    friend Result<Listener> listen_on(const Endpoint&, const ListenOptions&);
    Listener(Fd fd, Endpoint endpoint) : fd_(std::move(fd)), endpoint_(std::move(endpoint)) {}
    void remove_file();

    Fd fd_;
    Endpoint endpoint_;
};

/// Unix: mode 0660; a socket file that nobody answers on is replaced, any other file is left alone (Error).
/// Tcp: loopback only, unless `trust_network`.
Result<Listener> listen_on(const Endpoint& endpoint, const ListenOptions& options = {});

/// Who is at the other end of a connected socket, to begin a sentence: "gdb (process 1234)", "The client at
/// 127.0.0.1:40112".
std::string peer_of(int fd);

}  // namespace vmxscope::core::rsp
