// The GDB-remote server: one client at a time drives one Target. gdb, lldb and RemoteTarget are all clients of it.
//
//     auto listener = listen_on(*parse_endpoint("unix:/run/vmxscope/1234.sock"));
//     Server server([&] { return attach_to_kvm(pid); }, {.log = print_line});
//     auto result = server.serve(*listener, stop);
//
// A Target lives as long as its client: it is made when a client connects and detached and destroyed when that client
// goes, however it goes. So no vCPU is ever left held, and the next client finds a guest that runs.
#pragma once

#include <atomic>
#include <functional>
#include <list>
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
};

class Server {
  public:
    explicit Server(MakeTarget make_target, ServerOptions options = {});

    /// Serves clients one after the other until `stop` (looked at ten times a second, and after every signal). A second
    /// client is told who is in the way, as the answer to its first packet, and let go. Fails only when the listening
    /// socket does.
    Result<void> serve(const Listener& listener, const std::atomic<bool>& stop);

    /// Serves the one client at the other end of `connection` until it goes, or `stop`.
    Result<void> serve_connection(Fd connection, const std::atomic<bool>& stop);

  private:
    class Refusal;

    Result<void> refuse_others(int listener, std::list<Refusal>& refused) const;
    Result<void> serve_client(Fd client, int listener, const std::atomic<bool>& stop);
    void log(std::string_view line) const;

    MakeTarget make_target_;
    ServerOptions options_;
};

}  // namespace vmxscope::core::rsp
