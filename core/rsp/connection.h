// One GDB-remote connection, either side: packets in, packets out, acks and retransmissions kept up. Never blocks
// longer than it is told, whatever the peer does or does not read.
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/fd.h"
#include "core/rsp/codec.h"

namespace vmxscope::core::rsp {

/// poll(), but for its first microseconds awake: a thread that sleeps takes some tens of them to wake, which is more than
/// most answers take.
int poll_eagerly(std::span<pollfd> all, std::chrono::milliseconds limit);

class Connection {
  public:
    explicit Connection(Fd fd);  // a connected stream socket; made non-blocking

    /// Sends a packet, as far as the socket takes it now; pump() sends the rest.
    void send(std::string_view payload);
    void send_interrupt();  // 0x03
    void notify(std::string_view payload);  // a notification: neither acked nor repeated

    /// Moves bytes both ways; returns as soon as something came, or after `limit`. False once the connection is lost.
    bool pump(std::chrono::milliseconds limit);
    int fd() const { return fd_.get(); }
    /// What poll() is to wait for.
    short events() const;
    /// Waits until everything is sent; false when it is not within `limit`.
    bool flush(std::chrono::milliseconds limit);
    /// The peer reads the end of the connection after what was sent; what it still sends can be read.
    void end_output();
    void close();

    /// The next Packet, Interrupt or Garbled of what has come so far; also after the connection was lost. In ack mode a
    /// garbled packet is asked for again first, and shown only when that does not help.
    std::optional<Event> next();

    /// From now on no acks, in either direction (QStartNoAckMode).
    void stop_acks() { acks_ = false; }
    /// True while the peer has left much unread: better take no more requests from it.
    bool congested() const { return out_.size() > 8 * kMaxPacket; }
    /// Why the connection is no more, in words that complete "was lost: "; empty while it lives.
    const std::string& lost() const { return lost_; }

  private:
    void queue(std::string_view bytes);
    void write_some();
    void read_some();
    void retransmit();

    Fd fd_;
    Decoder decoder_;
    bool acks_ = true;
    unsigned retries_ = 0;                            // retransmissions since the last good packet, in either direction
    std::string last_sent_;                           // framed
    std::string out_;                                 // not yet taken by the socket
    std::chrono::steady_clock::time_point progress_;  // when the socket last took something, or out_ was empty
    std::string lost_;
};

}  // namespace vmxscope::core::rsp
