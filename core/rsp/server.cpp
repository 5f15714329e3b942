#include "core/rsp/server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "core/rsp/connection.h"
#include "core/rsp/packet.h"
#include "core/rsp/session.h"
#include "core/session_keeper.h"

namespace vmxscope::core::rsp {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr auto kIdle = milliseconds(100);  // how late `stop` may be noticed
constexpr auto kSlice = milliseconds(5);   // how late a packet may be while a Target is watched for a stop
constexpr auto kGoodbye = seconds(2);      // to send the last words to a client
constexpr auto kFirstPacket = seconds(5);  // for a client that is to be refused to say something
constexpr std::size_t kMaxRefused = 16;    // at a time
constexpr std::size_t kTurn = 4;           // packets of one who looks on, before the others' turn

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

constexpr std::string_view kDriverGone =
    "The client that drove this guest has gone, and the guest runs on. Attach anew to drive it.";

}  // namespace

struct Server::Client {
    Client(Fd fd, std::shared_ptr<Guest> guest, Session::Role role)
        : connection(std::move(fd)), session(std::in_place, connection, std::move(guest), role) {}
    Connection connection;
    std::optional<Session> session;
    bool behind = false;  // not all that came of it has been answered
};

/// Answers a client's next packet with one sentence, and lets it go.
class Server::Refusal {
  public:
    Refusal(Connection connection, std::string sentence, bool knows_vmx = false)
        : connection_(std::move(connection)),
          sentence_(std::move(sentence)),
          knows_vmx_(knows_vmx),
          end_(steady_clock::now() + kFirstPacket) {}

    const Connection& connection() const { return connection_; }

    /// False once it is done.
    bool go_on() {
        const bool alive = connection_.pump(milliseconds(0));
        while (auto event = connection_.next()) {
            if (event->what != Event::What::Packet || told_) continue;
            const bool vmx = knows_vmx_ || event->text.find("vmx+") != std::string::npos;
            connection_.send(error_reply(sentence_, vmx));
            connection_.flush(milliseconds(0));
            connection_.end_output();
            told_ = true;
        }
        // The client goes once it has read the answer; closing before could take the answer from it.
        return alive && steady_clock::now() < end_;
    }

  private:
    Connection connection_;
    std::string sentence_;
    bool knows_vmx_;
    steady_clock::time_point end_;
    bool told_ = false;
};

/// Who is there during one serve(): the driver, those who look on, and those who are about to go.
class Server::Room {
  public:
    Room(const Server& server, int listener) : server_(server), listener_(listener) {}
    ~Room() {
        if (driver_) driver_leaves();
    }

    void admit(Fd fd);
    /// Waits for something to happen, and deals with it. Fails only when the listening socket does.
    Result<void> turn();
    bool deserted() const { return !driver_ && refused_.empty(); }

  private:
    bool wait_for_packets() const;
    Result<void> accept_all();
    void drive(Fd fd);
    void serve_driver();
    void serve_lookers();
    void keep_session();
    void driver_leaves();
    void refuse(Connection connection, std::string sentence, bool knows_vmx = false) {
        refused_.emplace_back(std::move(connection), std::move(sentence), knows_vmx);
    }

    const Server& server_;
    int listener_;  // -1: nobody else comes
    std::shared_ptr<Guest> guest_;
    std::unique_ptr<Client> driver_;
    std::optional<SessionKeeper> keeper_;  // of guest_
    std::list<Client> lookers_;
    std::list<Refusal> refused_;
};

/// True if somebody may be at the door.
bool Server::Room::wait_for_packets() const {
    std::vector<pollfd> all;
    const auto add = [&](const Connection& c) { all.push_back({c.fd(), c.events(), 0}); };
    bool at_once = driver_ && driver_->session->waits_for_stop();
    if (driver_) add(driver_->connection);
    for (const Client& c : lookers_) {
        add(c.connection);
        at_once |= c.behind;
    }
    for (const Refusal& r : refused_) add(r.connection());
    const bool door = listener_ >= 0 && refused_.size() < kMaxRefused;
    if (door) all.push_back({listener_, POLLIN, 0});
    poll_eagerly(all, at_once ? milliseconds(0) : kIdle);
    return door && all.back().revents != 0;
}

Result<void> Server::Room::turn() {
    const bool somebody_came = wait_for_packets();
    if (driver_) serve_driver();
    if (driver_) keep_session();
    serve_lookers();
    refused_.remove_if([](Refusal& r) { return !r.go_on(); });
    return somebody_came ? accept_all() : Result<void>{};
}

Result<void> Server::Room::accept_all() {
    while (refused_.size() < kMaxRefused) {
        auto client = accept_client(listener_);
        if (!client) return tl::unexpected(client.error());
        if (!*client) break;
        admit(std::move(**client));
    }
    return {};
}

void Server::Room::admit(Fd fd) {
    if (!driver_) return drive(std::move(fd));
    if (lookers_.size() == kMostLookers) {
        server_.log("a client came to look on, and was refused: there are too many");
        return refuse(Connection(std::move(fd)),
                      fmt::format("{} drives this guest, and {} others look on: more are not served. Wait until one has gone.",
                                  guest_->driver, kMostLookers));
    }
    lookers_.emplace_back(std::move(fd), guest_, Session::Role::Looks);
    server_.log(fmt::format("a client looks on ({} of {})", lookers_.size(), kMostLookers));
}

void Server::Room::drive(Fd fd) {
    auto target = server_.make_target_();
    if (!target) {
        server_.log("a client came and was refused: " + target.error().text());
        return refuse(Connection(std::move(fd)), target.error().text());
    }
    server_.log(fmt::format("a client has attached to {}", (*target)->info().name));
    guest_ = std::make_shared<Guest>(std::move(*target), peer_of(fd.get()));
    driver_ = std::make_unique<Client>(std::move(fd), guest_, Session::Role::Drives);
}

void Server::Room::serve_driver() {
    Session& session = *driver_->session;
    const bool alive = driver_->connection.pump(milliseconds(0));
    if (alive) {
        session.answer();
        if (session.waits_for_stop()) session.watch(kSlice);
        if (!session.waits_for_stop()) session.answer();  // what had to wait for a monitor command
    }
    if (!alive || session.over()) driver_leaves();
}

void Server::Room::serve_lookers() {
    for (auto c = lookers_.begin(); c != lookers_.end();) {
        const bool alive = c->connection.pump(milliseconds(0));
        if (alive) c->behind = c->session->answer(kTurn);
        if (alive && !c->session->over()) {
            ++c;
            continue;
        }
        c->session.reset();
        if (alive) c->connection.flush(milliseconds(0));
        c = lookers_.erase(c);
        server_.log("a client that looked on has gone");
    }
}

/// From the first stop that it is told: by then it has said what it knows.
void Server::Room::keep_session() {
    const bool kept = !server_.options_.sessions.empty() && !driver_->session->knows_vmx();
    if (!kept || !guest_->stop || !guest_->target.can(Ability::Transitions)) return;
    if (!keeper_)
        keeper_.emplace(server_.options_.sessions, guest_->target,
                        [this](std::string_view line) { server_.log(line); });
    keeper_->go_on();
    guest_->recorded_into = keeper_->file();
}

/// Letting the guest go takes its time: who comes meanwhile is the next driver.
void Server::Room::driver_leaves() {
    const std::unique_ptr<Client> leaving = std::move(driver_);
    for (Client& c : lookers_) {
        const bool knows_vmx = c.session->knows_vmx();
        c.session.reset();
        refuse(std::move(c.connection), std::string(kDriverGone), knows_vmx);
    }
    lookers_.clear();
    leaving->session.reset();
    if (keeper_) keeper_->finish();
    keeper_.reset();
    guest_.reset();
    Connection& connection = leaving->connection;
    if (connection.lost().empty()) connection.flush(kGoodbye);
    server_.log(connection.lost().empty()
                    ? "the client has gone, and the guest runs on"
                    : fmt::format("the client is lost ({}), and the guest runs on", connection.lost()));
}

Server::Server(MakeTarget make_target, ServerOptions options)
    : make_target_(std::move(make_target)), options_(std::move(options)) {}

void Server::log(std::string_view line) const {
    if (options_.log) options_.log(line);
}

Result<void> Server::serve(const Listener& listener, const std::atomic<bool>& stop) {
    Room room(*this, listener.fd());
    while (!stop)
        if (auto turned = room.turn(); !turned) return turned;
    return {};
}

Result<void> Server::serve_connection(Fd connection, const std::atomic<bool>& stop) {
    Room room(*this, -1);
    room.admit(std::move(connection));
    while (!stop && !room.deserted())
        if (auto turned = room.turn(); !turned) return turned;
    return {};
}

}  // namespace vmxscope::core::rsp
