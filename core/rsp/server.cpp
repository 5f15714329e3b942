#include "core/rsp/server.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <optional>

#include "core/rsp/connection.h"
#include "core/rsp/packet.h"
#include "core/rsp/session.h"

namespace vmxscope::core::rsp {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr auto kIdle = milliseconds(100);  // how late `stop` and a second client may be noticed
constexpr auto kSlice = milliseconds(5);   // how late a packet may be while a Target is watched for a stop
constexpr auto kGoodbye = seconds(2);      // to send the last words to a client
constexpr auto kFirstPacket = seconds(5);  // for a client that is to be refused to say something
constexpr std::size_t kMaxRefused = 16;    // at a time

/// A client that came: empty when none is there. Fails only when the listening socket itself does.
Result<std::optional<Fd>> accept_client(int listener) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) return Fd(fd);
    switch (errno) {
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
            return fail(fmt::format("The listening socket is gone: {}.", std::strerror(errno)));
        default:
            return std::nullopt;  // nobody there, or gone again, or no descriptors for now
    }
}

constexpr std::string_view kBusy =
    "Another client is attached to this guest. Detach it there first, or wait until it has gone.";

}  // namespace

/// Answers a client's first packet with one sentence, and lets it go.
class Server::Refusal {
  public:
    Refusal(Fd fd, std::string sentence)
        : connection_(std::move(fd)), sentence_(std::move(sentence)), end_(steady_clock::now() + kFirstPacket) {}

    /// False once it is done. Never blocks longer than `limit`.
    bool go_on(milliseconds limit) {
        const bool alive = connection_.pump(limit);
        while (auto event = connection_.next()) {
            if (event->what != Event::What::Packet || told_) continue;
            connection_.send(error_reply(sentence_, event->text.find("vmx+") != std::string::npos));
            connection_.flush(limit);
            connection_.end_output();
            told_ = true;
        }
        // The client goes once it has read the answer; closing before could take the answer from it.
        return alive && steady_clock::now() < end_;
    }

  private:
    Connection connection_;
    std::string sentence_;
    steady_clock::time_point end_;
    bool told_ = false;
};

Server::Server(MakeTarget make_target, ServerOptions options)
    : make_target_(std::move(make_target)), options_(std::move(options)) {}

void Server::log(std::string_view line) const {
    if (options_.log) options_.log(line);
}

Result<void> Server::serve(const Listener& listener, const std::atomic<bool>& stop) {
    while (!stop) {
        pollfd p{listener.fd(), POLLIN, 0};
        if (::poll(&p, 1, static_cast<int>(kIdle.count())) <= 0) continue;
        auto client = accept_client(listener.fd());
        if (!client) return tl::unexpected(client.error());
        if (!*client) continue;
        if (auto served = serve_client(std::move(**client), listener.fd(), stop); !served) return served;
    }
    return {};
}

Result<void> Server::serve_connection(Fd connection, const std::atomic<bool>& stop) {
    return serve_client(std::move(connection), -1, stop);
}

Result<void> Server::refuse_others(int listener, std::list<Refusal>& refused) const {
    while (refused.size() < kMaxRefused) {
        auto client = accept_client(listener);
        if (!client) return tl::unexpected(client.error());
        if (!*client) break;
        log("a second client came and was refused");
        refused.emplace_back(std::move(**client), std::string(kBusy));
    }
    refused.remove_if([](Refusal& r) { return !r.go_on(milliseconds(0)); });
    return {};
}

Result<void> Server::serve_client(Fd client, int listener, const std::atomic<bool>& stop) {
    auto target = make_target_();
    if (!target) {
        log("a client came and was refused: " + target.error().text());
        Refusal refusal(std::move(client), target.error().text());
        while (!stop && refusal.go_on(kIdle)) {
        }
        return {};
    }
    log(fmt::format("a client has attached to {}", (*target)->info().name));

    Connection connection(std::move(client));
    std::optional<Session> session(std::in_place, connection, std::move(*target));
    std::list<Refusal> refused;
    Result<void> result;
    while (!stop && result && !session->over() &&
           connection.pump(session->waits_for_stop() ? milliseconds(0) : kIdle)) {
        session->answer();
        if (session->waits_for_stop()) session->watch(kSlice);
        // Detaching takes its time: who came meanwhile is the next client, not a second one.
        if (listener >= 0 && !session->over()) result = refuse_others(listener, refused);
    }
    session.reset();
    if (connection.lost().empty()) connection.flush(kGoodbye);
    log(connection.lost().empty() ? "the client has gone, and the guest runs on"
                                  : fmt::format("the client is lost ({}), and the guest runs on", connection.lost()));
    return result;
}

}  // namespace vmxscope::core::rsp
