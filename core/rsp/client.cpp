#include "core/rsp/client.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/rsp/codec.h"
#include "core/rsp/packet.h"

namespace vmxscope::core::rsp {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr auto kAttachLimit = seconds(120);  // the agent answers the first packet once it has attached to the guest
constexpr auto kGoodbyeLimit = seconds(20);
constexpr auto kSlice = milliseconds(100);  // how often Progress is asked
constexpr std::size_t kAtOnce = 8;          // pieces of an object that are asked for in one go
constexpr std::size_t kMostShort = 64;      // pieces that are shorter than they could be
constexpr std::size_t kMostFeatures = 256;
// Without xmlRegisters gdbserver describes no registers, and without swbreak it may leave rip behind a breakpoint.
constexpr std::string_view kGreeting =
    "qSupported:multiprocess+;vContSupported+;QStartNoAckMode+;swbreak+;hwbreak+;xmlRegisters=i386;vmx+";

/// "E.sentence" (ours), "E01;hex" or "E01": the sentence.
std::string error_text(std::string_view reply, std::string_view peer) {
    if (reply.starts_with("E.")) return std::string(reply.substr(2));
    return fmt::format("{} refused, with the error '{}'.", peer, reply.substr(0, 100));
}

}  // namespace

Client::Client(Fd fd, std::string peer, Progress progress)
    : connection_(std::move(fd)), peer_(std::move(peer)), progress_(std::move(progress)) {}

tl::unexpected<Error> Client::break_off(std::string what, std::string remedy) {
    failed_ = Error{std::move(what), std::move(remedy)};
    return tl::unexpected(*failed_);
}

tl::unexpected<Error> Client::lost() {
    if (!heard_)
        return break_off(fmt::format("{} closed the connection without a word: {}.", peer_, connection_.lost()),
                         "Check that vmxscope-agent runs there.");
    return break_off(fmt::format("The connection to {} was lost: {}.", peer_, connection_.lost()),
                     "The guest runs on. Attach again.");
}

/// A reply, once one has come; stop replies and console output are put where they belong. Sets failed_ when what came
/// makes no sense.
std::optional<std::string> Client::take_packet() {
    while (auto event = connection_.next()) {
        if (event->what == Event::What::Garbled) {
            if (heard_) {
                break_off(fmt::format("What {} sent was garbled: {}.", peer_, event->text),
                          "The guest runs on. Attach again.");
            } else {
                break_off(fmt::format("What listens on {} does not speak the GDB remote protocol.", peer_),
                          "Check the address.");
            }
            return {};
        }
        if (event->what != Event::What::Packet) continue;
        heard_ = true;
        if (is_stop_reply(event->text)) {
            take_stop(std::move(event->text));
        } else if (event->text.starts_with('O') && event->text != "OK") {
            if (console_.size() < kMaxPacket)
                console_ += from_hex(std::string_view(event->text).substr(1)).value_or("");
        } else {
            return std::move(event->text);
        }
        if (failed_) return {};
    }
    return {};
}

void Client::take_stop(std::string packet) {
    // QEMU stops the guest for whoever connects, and says so before it is asked anything.
    if (!greeted_) return;
    if (!running_) {
        break_off(fmt::format("{} sent a stop reply that nobody asked for.", peer_), "Attach again.");
        return;
    }
    running_ = false;
    while (console_.ends_with('\n')) console_.pop_back();
    stops_.push_back({std::move(packet), std::exchange(console_, {})});
}

Result<void> Client::ask_progress() {
    if (!progress_ || progress_("attaching to the guest at " + peer_, -1)) return {};
    return break_off(fmt::format("Attaching to {} was given up.", peer_), "");
}

Result<std::string> Client::answer(milliseconds limit) {
    const auto end = steady_clock::now() + limit;
    for (;;) {
        if (failed_) return tl::unexpected(*failed_);
        if (auto reply = take_packet()) {
            if (reply->starts_with('E')) return fail(error_text(*reply, peer_));
            return std::move(*reply);
        }
        if (failed_) return tl::unexpected(*failed_);
        if (!connection_.lost().empty()) return lost();
        if (auto go_on = ask_progress(); !go_on) return tl::unexpected(go_on.error());
        if (steady_clock::now() > end)
            return break_off(fmt::format("{} has not answered for {} seconds.", peer_,
                                         std::chrono::duration_cast<seconds>(limit).count()),
                             "Check that its machine runs, and attach again.");
        connection_.pump(kSlice);
    }
}

Result<std::string> Client::request(std::string_view packet, milliseconds limit) {
    if (failed_) return tl::unexpected(*failed_);
    connection_.send(packet);
    return answer(limit);
}

std::vector<Result<std::string>> Client::requests(const std::vector<std::string>& packets, milliseconds limit) {
    std::vector<Result<std::string>> replies;
    if (!acks_ && !failed_)
        for (const std::string& packet : packets) connection_.send(packet);
    for (const std::string& packet : packets) replies.push_back(acks_ ? request(packet, limit) : answer(limit));
    return replies;
}

Result<void> Client::command(std::string_view packet, milliseconds limit) {
    auto reply = request(packet, limit);
    if (!reply) return tl::unexpected(reply.error());
    if (*reply != "OK") return fail(fmt::format("{} did not accept '{}'.", peer_, packet));
    return {};
}

/// Appends a piece of the object; gives how many bytes are to come after it: 0 = none.
Result<std::size_t> Client::take_piece(const Result<std::string>& reply, std::string_view name,
                                       std::string& object) const {
    if (!reply) return tl::unexpected(reply.error());
    const bool last = reply->starts_with('l');
    if (!last && (!reply->starts_with('m') || reply->size() < 2))
        return fail(fmt::format("{}'s answer to '{}' is no piece of an object.", peer_, name));
    object.append(*reply, 1);
    return last ? 0 : reply->size() - 1;
}

Result<std::string> Client::object(std::string_view name, std::size_t most) {
    // Half of a packet fits even if every byte is escaped. QEMU's pieces are of as much as is asked for, and cut.
    const std::size_t piece = std::max<std::size_t>((packet_size_ - 8) / 2, 64);
    std::string object;
    std::size_t at_once = 1, rounds = most / piece + kMostShort;
    while (object.size() <= most && rounds-- > 0) {
        std::vector<std::string> packets;
        for (std::size_t i = 0; i < at_once; ++i)
            packets.push_back(fmt::format("qXfer:{}:{:x},{:x}", name, object.size() + i * piece, piece));
        bool whole = true;  // all pieces so far are as long as was asked for: so the next one follows
        for (const auto& reply : requests(packets)) {
            if (!whole) continue;
            const auto more = take_piece(reply, name, object);
            if (!more) return tl::unexpected(more.error());
            if (*more == 0) at_once = 0;
            whole = *more == piece;
        }
        if (at_once == 0 && object.size() <= most) return object;
        at_once = whole && !acks_ ? kAtOnce : 1;
    }
    return fail(fmt::format("{}'s answer to '{}' is longer than {} bytes.", peer_, name, most));
}

Result<void> Client::greet() {
    const auto features = request(kGreeting, kAttachLimit);
    if (!features) return tl::unexpected(features.error());
    greeted_ = true;
    for (std::string_view rest = *features; !rest.empty() && features_.size() < kMostFeatures;)
        features_.emplace_back(take_until(rest, ';'));
    for (const std::string& feature : features_) {
        if (!feature.starts_with("PacketSize=")) continue;
        const auto size = parse_hex(std::string_view(feature).substr(11));
        if (size) packet_size_ = std::clamp<std::size_t>(*size, 128, kMaxPacket);
    }
    if (!offers("QStartNoAckMode+")) return {};
    if (auto done = command("QStartNoAckMode"); !done) return done;
    connection_.stop_acks();
    acks_ = false;
    return {};
}

bool Client::offers(std::string_view feature) const {
    return std::find(features_.begin(), features_.end(), feature) != features_.end();
}

Result<void> Client::run(std::string_view packet) {
    if (failed_) return tl::unexpected(*failed_);
    if (running_) return fail("The guest already runs.", "Interrupt it first.");
    connection_.send(packet);
    running_ = true;
    return {};
}

Result<void> Client::interrupt() {
    if (failed_) return tl::unexpected(*failed_);
    if (!connection_.lost().empty()) return lost();
    if (running_) connection_.send_interrupt();
    return {};
}

Result<std::optional<RawStop>> Client::stop(milliseconds limit) {
    const auto end = steady_clock::now() + limit;
    for (;;) {
        if (!failed_) {
            if (const auto reply = take_packet()) {
                // In a stop's place: the run was refused.
                if (!running_ || !reply->starts_with('E'))
                    return break_off(fmt::format("{} sent an answer that nobody asked for.", peer_), "Attach again.");
                running_ = false;
                return fail(error_text(*reply, peer_));
            }
        }
        if (!stops_.empty()) {
            auto stop = std::move(stops_.front());
            stops_.pop_front();
            return std::optional(std::move(stop));
        }
        if (failed_) return tl::unexpected(*failed_);
        if (!connection_.lost().empty()) return lost();
        const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
        if (left.count() <= 0) return std::nullopt;
        if (auto go_on = ask_progress(); !go_on) return tl::unexpected(go_on.error());
        connection_.pump(progress_ ? std::min(left, kSlice) : left);
    }
}

Result<void> Client::leave(std::string_view packet) {
    if (!usable()) return {};
    progress_ = nullptr;
    auto done = command(packet, kGoodbyeLimit);
    connection_.close();  // QEMU and gdbserver take the next client only then
    failed_ = Error{fmt::format("{} was detached from.", peer_), "Attach again."};
    return done;
}

}  // namespace vmxscope::core::rsp
