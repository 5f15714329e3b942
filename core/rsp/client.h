// The client's half of a GDB-remote connection: requests and their answers, and the stop replies that come between
// them. What a target makes of them is in remote_target.cpp (our agent) and plugins/remote (any other stub).
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "core/rsp/connection.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

inline constexpr auto kReplyLimit =
    std::chrono::seconds(30);  // an answer takes milliseconds, or a lab that idles a while

/// A stop reply as it came, with the console output before it.
struct RawStop {
    std::string packet, console;
};

class Client {
  public:
    /// `peer` is what messages call the other end. `progress` is asked until attached() whether to go on.
    Client(Fd fd, std::string peer, Progress progress);

    /// qSupported, and no more acks where the other side can do without. Fails where nobody speaks the protocol.
    Result<void> greet();
    bool offers(std::string_view feature) const;              // "ReverseStep+"
    std::size_t packet_size() const { return packet_size_; }  // bytes of the longest packet that the other side takes
    void attached() { progress_ = nullptr; }

    /// The answer; an error reply is an Error. One that does not come in time ends the connection: late, it would be
    /// taken for the answer to something else.
    Result<std::string> request(std::string_view packet, std::chrono::milliseconds limit = kReplyLimit);
    /// All at once where there are no acks: one round trip. An answer for each.
    std::vector<Result<std::string>> requests(const std::vector<std::string>& packets,
                                              std::chrono::milliseconds limit = kReplyLimit);
    /// A request that is answered by OK.
    Result<void> command(std::string_view packet, std::chrono::milliseconds limit = kReplyLimit);
    /// All of "OBJECT:read:ANNEX", of at most `most` bytes.
    Result<std::string> object(std::string_view name, std::size_t most = 16u << 20);

    /// A request that a stop reply will answer.
    Result<void> run(std::string_view packet);
    bool running() const { return running_; }  // a stop reply is due
    Result<void> interrupt();
    /// The stop reply, or nothing after `limit`.
    Result<std::optional<RawStop>> stop(std::chrono::milliseconds limit);

    /// Says goodbye, and is of no more use. Fine where the connection is lost: the other side noticed by itself.
    Result<void> leave(std::string_view packet);
    /// Ends the use of the connection; every call fails with this from now on.
    tl::unexpected<Error> break_off(std::string what, std::string remedy);

    const std::string& peer() const { return peer_; }
    bool usable() const { return !failed_ && connection_.lost().empty(); }

  private:
    Result<std::string> answer(std::chrono::milliseconds limit);
    Result<void> ask_progress();
    std::optional<std::string> take_packet();
    void take_stop(std::string packet);
    Result<std::size_t> take_piece(const Result<std::string>& reply, std::string_view name, std::string& object) const;
    tl::unexpected<Error> lost();

    Connection connection_;
    std::string peer_;
    Progress progress_;
    std::vector<std::string> features_;
    std::size_t packet_size_ = 400;  // what gdb takes for granted
    bool acks_ = true;
    bool greeted_ = false;
    bool running_ = false;
    bool heard_ = false;           // the peer has said something that makes sense
    std::deque<RawStop> stops_;    // come, and not yet taken
    std::string console_;          // what the server wrote of the run under way
    std::optional<Error> failed_;  // the connection is of no more use, and why
};

}  // namespace vmxscope::core::rsp
