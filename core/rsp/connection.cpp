#include "core/rsp/connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vmxscope::core::rsp {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr unsigned kMaxRetries = 5;
constexpr auto kStallLimit = std::chrono::seconds(30);  // a peer that reads nothing for so long is as good as gone
constexpr auto kAwake = std::chrono::microseconds(60);

/// A peer whose host vanished is noticed within about half a minute, not in hours; small packets go at once. Without
/// effect on unix sockets, which need neither.
void tune_tcp(int fd) {
    const auto set = [fd](int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set(IPPROTO_TCP, TCP_KEEPCNT, 4);
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, 30000);
}

}  // namespace

int poll_eagerly(std::span<pollfd> all, milliseconds limit) {
    for (const auto asleep = steady_clock::now() + kAwake; limit.count() > 0 && steady_clock::now() < asleep;) {
        if (const int ready = ::poll(all.data(), all.size(), 0); ready != 0) return ready;
        ::sched_yield();  // the other side may want this processor
    }
    return ::poll(all.data(), all.size(), static_cast<int>(limit.count()));
}

Connection::Connection(Fd fd) : fd_(std::move(fd)), progress_(steady_clock::now()) {
    ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
    tune_tcp(fd_.get());
}

void Connection::send(std::string_view payload) {
    last_sent_ = frame(payload);
    queue(last_sent_);
}

void Connection::send_interrupt() {
    queue("\x03");
}

void Connection::notify(std::string_view payload) {
    queue(frame(payload, '%'));
}

void Connection::queue(std::string_view bytes) {
    if (!lost_.empty()) return;
    if (out_.empty()) progress_ = steady_clock::now();
    out_ += bytes;
    write_some();
}

void Connection::write_some() {
    while (!out_.empty() && lost_.empty()) {
        const ssize_t n = ::send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
        if (n > 0) {
            out_.erase(0, static_cast<std::size_t>(n));
            progress_ = steady_clock::now();
        } else if (errno == EAGAIN) {
            if (steady_clock::now() - progress_ > kStallLimit) lost_ = "the other side reads nothing";
            return;
        } else if (errno != EINTR) {
            lost_ = std::strerror(errno);
        }
    }
}

void Connection::read_some() {
    char buffer[65536];
    const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (n > 0) {
        decoder_.feed({buffer, static_cast<std::size_t>(n)});
    } else if (n == 0) {
        lost_ = "the other side closed it";
    } else if (errno != EAGAIN && errno != EINTR) {
        lost_ = std::strerror(errno);
    }
}

short Connection::events() const {
    return static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT));
}

bool Connection::pump(milliseconds limit) {
    if (!lost_.empty()) return false;
    pollfd p{fd_.get(), events(), 0};
    if (limit.count() == 0 || (poll_eagerly({&p, 1}, limit) > 0 && (p.revents & ~POLLOUT) != 0))
        read_some();
    // What the peer sent before it went is still in the socket, so a failing write must not come before the read.
    write_some();
    return lost_.empty();
}

bool Connection::flush(milliseconds limit) {
    const auto end = steady_clock::now() + limit;
    while (!out_.empty() && lost_.empty()) {
        const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
        if (left.count() <= 0) return false;
        pollfd p{fd_.get(), POLLOUT, 0};
        if (::poll(&p, 1, static_cast<int>(left.count())) > 0) write_some();
    }
    return lost_.empty();
}

void Connection::end_output() {
    ::shutdown(fd_.get(), SHUT_WR);
}

void Connection::close() {
    fd_.reset();
    if (lost_.empty()) lost_ = "it was closed";
}

void Connection::retransmit() {
    if (!acks_) return;
    if (++retries_ > kMaxRetries) {
        lost_ = "the other side cannot read what it is sent";
    } else if (!last_sent_.empty()) {
        queue(last_sent_);
    }
}

std::optional<Event> Connection::next() {
    while (auto event = decoder_.next()) {
        switch (event->what) {
            case Event::What::Ack:
            case Event::What::Notification:
                break;  // nothing here asked for notifications
            case Event::What::Nack:
                retransmit();
                break;
            case Event::What::Interrupt:
                return event;
            case Event::What::Packet:
                retries_ = 0;
                if (acks_) queue("+");
                return event;
            case Event::What::Garbled:
                if (!acks_ || ++retries_ > kMaxRetries) return event;
                queue("-");
                break;
        }
    }
    return {};
}

}  // namespace vmxscope::core::rsp
