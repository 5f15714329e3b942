// The GDB-remote server: one client at a time drives one Target, and others look on. gdb, lldb and RemoteTarget are all
// clients of it.
//
//     auto listener = listen_on(*parse_endpoint("unix:/run/vmxscope/1234.sock"));
//     Server server([&] { return attach_to_kvm(pid); }, {.log = print_line});
//     auto result = server.serve(*listener, stop);
//
// A Target lives as long as the client that drives it: it is made when a client connects and detached and destroyed when
// that client goes, however it goes. So no vCPU is ever left held, and the next client finds a guest that runs. Who
// connects meanwhile sees the same guest, may ask everything and change nothing, and goes when the driver does.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>

#include "core/fd.h"
#include "core/result.h"
#include "core/rsp/endpoint.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

/// Attaches to the guest. Its Error's text is what the client is shown before it is let go.
using MakeTarget = std::function<Result<std::unique_ptr<Target>>()>;

struct ServerOptions {
    std::function<void(std::string_view)> log =
        {};  // one line for every client that comes, goes or is refused; may be empty
    /// Of a live target: where the sessions of clients are recorded that do not know vmx+, as gdb. (Those that do
    /// record their own.) Empty: nowhere.
    std::filesystem::path sessions = {};
};

class Server {
  public:
    static constexpr std::size_t kMostLookers = 8;

    explicit Server(MakeTarget make_target, ServerOptions options = {});

    /// Serves clients until `stop` (looked at ten times a second, and after every signal). Of those who look on there are
    /// at most kMostLookers; one more is told so, as the answer to its first packet, and let go. Fails only when the
    /// listening socket does.
    Result<void> serve(const Listener& listener, const std::atomic<bool>& stop);

    /// Serves the one client at the other end of `connection` until it goes, or `stop`.
    Result<void> serve_connection(Fd connection, const std::atomic<bool>& stop);

  private:
    struct Client;
    class Refusal;
    class Room;

    void log(std::string_view line) const;

    MakeTarget make_target_;
    ServerOptions options_;
};

}  // namespace vmxscope::core::rsp
