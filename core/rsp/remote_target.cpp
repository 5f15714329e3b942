#include "core/rsp/remote_target.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "core/rsp/codec.h"
#include "core/rsp/connection.h"
#include "core/rsp/endpoint.h"
#include "core/rsp/objects.h"
#include "core/rsp/packet.h"
#include "nested/transition_codec.h"

namespace vmxscope::core::rsp {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr auto kReplyLimit = seconds(30);    // an answer takes milliseconds, or a lab that idles a while
constexpr auto kAttachLimit = seconds(120);  // the agent answers the first packet once it has attached to the guest
constexpr auto kProbesLimit = seconds(900);  // hundreds, on an emulated processor
constexpr auto kGoodbyeLimit = seconds(20);
constexpr auto kSlice = milliseconds(100);  // how often Progress is asked
constexpr std::size_t kMaxObject = 16u << 20;
constexpr std::size_t kPiece = kMaxPacket / 2;  // fits one packet even if every byte is escaped

/// "E.sentence" (ours), "E01;hex" or "E01": the sentence.
std::string error_text(std::string_view reply) {
    if (reply.starts_with("E.")) return std::string(reply.substr(2));
    return fmt::format("The agent refused, with the error '{}'.", reply);
}

class RemoteTarget final : public Target {
  public:
    RemoteTarget(Fd fd, std::string peer, Progress progress)
        : connection_(std::move(fd)), peer_(std::move(peer)), progress_(std::move(progress)) {}
    ~RemoteTarget() override { (void)RemoteTarget::detach(); }

    Result<void> shake_hands(std::string name);

    const TargetInfo& info() const override { return info_; }
    Abilities abilities() const override { return abilities_; }
    Result<std::vector<Vcpu>> vcpus() override { return read_object("vcpus", kReplyLimit).and_then(parse_vcpus); }
    Result<History> history() override { return read_object("history", kReplyLimit).and_then(parse_history); }
    Result<nested::Transition> transition(std::uint64_t seq) override;
    Result<void> resume(const std::vector<Action>& actions) override;
    Result<std::optional<Stop>> wait(milliseconds limit) override;
    Result<void> interrupt() override;
    Result<std::vector<std::byte>> past(std::uint64_t from) override;
    Result<void> record(const RecordSettings& settings) override;
    Result<void> set_evidence(nested::EvidenceScope scope) override;
    Result<TargetCapabilities> capabilities() override {
        return read_object("capabilities", kReplyLimit).and_then(parse_capabilities);
    }
    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                               std::size_t size) override;
    Result<std::vector<std::byte>> msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) override {
        const std::string_view name = which == HardwareVmcs::Vmcs01 ? "vmcs01" : "vmcs02";
        return read_bytes(fmt::format("msr-bitmap/{}/{}", vcpu, name), 4096);
    }
    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) override {
        return read_object(fmt::format("ept02/{}/{:x}", vcpu, l2_physical), kReplyLimit).and_then(parse_walk);
    }
    Result<void> detach() override;

  private:
    Result<void> read_info();
    Result<std::string> request(std::string_view packet, milliseconds limit);
    Result<void> command(std::string_view packet, milliseconds limit);
    Result<std::string> read_object(std::string_view name, milliseconds limit);
    Result<std::vector<std::byte>> read_bytes(std::string_view name, std::size_t size);
    Result<void> set_step_kind(const std::vector<Action>& actions);
    std::optional<std::string> take_packet();
    void take_stop(std::string_view packet);
    tl::unexpected<Error> broken() const { return tl::unexpected(*failed_); }
    tl::unexpected<Error> break_off(std::string what, std::string remedy);
    tl::unexpected<Error> lost();

    Connection connection_;
    std::string peer_;
    Progress progress_;  // only while attaching
    TargetInfo info_;
    Abilities abilities_;
    StepKind step_ = StepKind::Transition;  // what the server takes a step for
    bool running_ = false;                  // a stop reply is due
    bool heard_ = false;                    // the peer has said something that makes sense
    std::deque<Result<Stop>> stops_;        // come, and not yet taken by wait()
    std::string console_;                   // what the server wrote of the run under way
    std::optional<Error> failed_;           // the connection is of no more use, and why
};

tl::unexpected<Error> RemoteTarget::break_off(std::string what, std::string remedy) {
    failed_ = Error{std::move(what), std::move(remedy)};
    return broken();
}

tl::unexpected<Error> RemoteTarget::lost() {
    if (!heard_)
        return break_off(fmt::format("{} closed the connection without a word: {}.", peer_, connection_.lost()),
                         "Check that vmxscope-agent runs there.");
    return break_off(fmt::format("The connection to {} was lost: {}.", peer_, connection_.lost()),
                     "The guest runs on. Attach again.");
}

/// A reply, once one has come; stop replies and console output are put where they belong. Sets failed_ when what came
/// makes no sense.
std::optional<std::string> RemoteTarget::take_packet() {
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
            take_stop(event->text);
        } else if (event->text.starts_with('O') && event->text != "OK") {
            if (console_.size() < kMaxPacket)
                console_ += from_hex(std::string_view(event->text).substr(1)).value_or("");
        } else {
            return std::move(event->text);
        }
    }
    return {};
}

void RemoteTarget::take_stop(std::string_view packet) {
    if (!running_) {
        break_off(fmt::format("{} sent a stop reply that nobody asked for.", peer_), "Attach again.");
        return;
    }
    running_ = false;
    auto stop = parse_stop_reply(packet);
    while (console_.ends_with('\n')) console_.pop_back();
    if (stop && (stop->why == Stop::Why::GuestGone || stop->why == Stop::Why::End)) stop->text = console_;
    console_.clear();
    stops_.push_back(std::move(stop));
}

Result<std::string> RemoteTarget::request(std::string_view packet, milliseconds limit) {
    if (failed_) return broken();
    connection_.send(packet);
    const auto end = steady_clock::now() + limit;
    for (;;) {
        if (auto reply = take_packet()) {
            if (reply->starts_with('E')) return fail(error_text(*reply));
            return std::move(*reply);
        }
        if (failed_) return broken();
        if (!connection_.lost().empty()) return lost();
        if (progress_ && !progress_("attaching to the guest at " + peer_, -1))
            return break_off(fmt::format("Attaching to {} was given up.", peer_), "");
        // An answer that came late would be taken for the answer to something else.
        if (steady_clock::now() > end)
            return break_off(fmt::format("{} has not answered for {} seconds.", peer_,
                                         std::chrono::duration_cast<seconds>(limit).count()),
                             "Check that its machine runs, and attach again.");
        connection_.pump(kSlice);
    }
}

Result<void> RemoteTarget::command(std::string_view packet, milliseconds limit) {
    auto reply = request(packet, limit);
    if (!reply) return tl::unexpected(reply.error());
    if (*reply != "OK") return fail(fmt::format("{} did not accept '{}'.", peer_, packet));
    return {};
}

Result<std::string> RemoteTarget::read_object(std::string_view name, milliseconds limit) {
    std::string object;
    while (object.size() < kMaxObject) {
        auto reply = request(fmt::format("qXfer:vmx:read:{}:{:x},{:x}", name, object.size(), kPiece), limit);
        if (!reply) return reply;
        const bool last = reply->starts_with('l');
        if (!last && (!reply->starts_with('m') || reply->size() < 2))
            return fail(fmt::format("{}'s answer to '{}' is no piece of an object.", peer_, name));
        object.append(*reply, 1);
        if (last) return object;
    }
    return fail(fmt::format("{}'s answer to '{}' is longer than {} bytes.", peer_, name, kMaxObject));
}

Result<void> RemoteTarget::shake_hands(std::string name) {
    auto features = request("qSupported:multiprocess+;vContSupported+;QStartNoAckMode+;vmx+", kAttachLimit);
    if (!features) return tl::unexpected(features.error());
    std::vector<std::string_view> known;
    for (std::string_view rest = *features; !rest.empty();) known.push_back(take_until(rest, ';'));
    const auto knows = [&](std::string_view f) { return std::find(known.begin(), known.end(), f) != known.end(); };
    if (!knows("vmx+"))
        return break_off(fmt::format("{} speaks the GDB protocol, but is no vmxscope agent.", peer_),
                         "Attach gdb to it, or connect to a vmxscope-agent.");
    if (knows("QStartNoAckMode+")) {
        if (auto done = command("QStartNoAckMode", kReplyLimit); !done) return done;
        connection_.stop_acks();
    }
    if (auto read = read_info(); !read) return read;
    const auto abilities = read_object("abilities", kReplyLimit).and_then(parse_abilities);
    if (!abilities) return tl::unexpected(abilities.error());
    abilities_ = *abilities;
    if (!name.empty()) info_.name = std::move(name);
    progress_ = nullptr;
    connection_.send("?");
    running_ = true;
    return {};
}

Result<void> RemoteTarget::read_info() {
    auto info = read_object("info", kReplyLimit).and_then(parse_info);
    if (!info) return tl::unexpected(info.error());
    if (!info_.name.empty()) info->name = info_.name;
    info_ = std::move(*info);
    return {};
}

Result<nested::Transition> RemoteTarget::transition(std::uint64_t seq) {
    auto bytes = read_object(fmt::format("transition/{}", seq), kReplyLimit);
    if (!bytes) return tl::unexpected(bytes.error());
    auto t = nested::decode(std::as_bytes(std::span(*bytes)));
    if (!t)
        return fail(fmt::format("Transition {} of {} cannot be read: {} at byte {}.", seq, peer_, t.error().what,
                                t.error().offset),
                    "Check that the agent is of the same version as this program.");
    if (t->seq != seq)
        return fail(fmt::format("{} was asked for transition {} and sent transition {}.", peer_, seq, t->seq));
    return std::move(*t);
}

/// One kind of step holds for the whole connection, so one resume() can use but one.
Result<void> RemoteTarget::set_step_kind(const std::vector<Action>& actions) {
    std::optional<StepKind> wanted;
    for (const Action& a : actions) {
        if (a.step && wanted && *a.step != *wanted)
            return fail("All vCPUs that step must step to the same kind of transition.");
        if (a.step) wanted = a.step;
    }
    if (!wanted || *wanted == step_) return {};
    auto set = command(fmt::format("QVmxStep:{}", name_of(*wanted)), kReplyLimit);
    if (set) step_ = *wanted;
    return set;
}

Result<void> RemoteTarget::resume(const std::vector<Action>& actions) {
    if (failed_) return broken();
    if (actions.empty()) return fail("No vCPU was told to go.");
    if (running_) return fail("The guest already runs.", "Interrupt it first.");
    if (auto set = set_step_kind(actions); !set) return set;
    connection_.send(vcont_text(actions));
    running_ = true;
    return {};
}

Result<std::optional<Stop>> RemoteTarget::wait(milliseconds limit) {
    const auto end = steady_clock::now() + limit;
    for (;;) {
        if (!failed_ && take_packet())
            break_off(fmt::format("{} sent an answer that nobody asked for.", peer_), "Attach again.");
        if (!stops_.empty()) {
            auto stop = std::move(stops_.front());
            stops_.pop_front();
            if (!stop) return tl::unexpected(stop.error());
            return std::optional<Stop>(std::move(*stop));
        }
        if (failed_) return broken();
        if (!connection_.lost().empty()) return lost();
        const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
        if (left.count() <= 0) return std::nullopt;
        connection_.pump(left);
    }
}

Result<void> RemoteTarget::interrupt() {
    if (failed_) return broken();
    if (running_) connection_.send_interrupt();
    return {};
}

/// Hundreds of probes are placed or removed. What could not be is in the notes then.
Result<void> RemoteTarget::set_evidence(nested::EvidenceScope scope) {
    if (auto set = command(fmt::format("QVmxEvidence:{}", nested::name_of(scope)), kProbesLimit); !set) return set;
    return read_info();
}

Result<void> RemoteTarget::record(const RecordSettings& settings) {
    return command("QVmxRecord:" + record_text(settings), kProbesLimit);
}

Result<std::vector<std::byte>> RemoteTarget::past(std::uint64_t from) {
    return read_object(fmt::format("past/{}", from), kReplyLimit).map([](const std::string& text) {
        const auto bytes = std::as_bytes(std::span(text));
        return std::vector<std::byte>(bytes.begin(), bytes.end());
    });
}

Result<std::vector<std::byte>> RemoteTarget::read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                                         std::size_t size) {
    return read_bytes(fmt::format("memory/{}/{}/{:x}/{:x}", vcpu, name_of(space), address, size), size);
}

/// An object that is nothing but bytes, `size` of them.
Result<std::vector<std::byte>> RemoteTarget::read_bytes(std::string_view name, std::size_t size) {
    const auto bytes = read_object(name, kReplyLimit);
    if (!bytes) return tl::unexpected(bytes.error());
    if (bytes->size() != size)
        return fail(fmt::format("{} was asked for {} bytes of memory and sent {}.", peer_, size, bytes->size()));
    const auto view = std::as_bytes(std::span(*bytes));
    return std::vector<std::byte>(view.begin(), view.end());
}

Result<void> RemoteTarget::detach() {
    if (failed_ || !connection_.lost().empty()) return {};  // nobody to tell: the server lets the guest go by itself
    progress_ = nullptr;
    auto done = command("D;1", kGoodbyeLimit);
    failed_ = Error{fmt::format("{} was detached from.", peer_), "Attach again."};
    return done;
}

}  // namespace

Result<std::unique_ptr<Target>> attach_remote(Fd connection, std::string peer, std::string name,
                                              const Progress& progress) {
    auto target = std::make_unique<RemoteTarget>(std::move(connection), std::move(peer), progress);
    if (auto done = target->shake_hands(std::move(name)); !done) return tl::unexpected(done.error());
    return target;
}

Result<std::unique_ptr<Target>> attach_remote(std::string_view endpoint, std::string name, const Progress& progress) {
    const auto parsed = parse_endpoint(endpoint);
    if (!parsed) return tl::unexpected(parsed.error());
    auto connection = connect_to(*parsed, progress);
    if (!connection) return tl::unexpected(connection.error());
    if (name.empty()) name = parsed->text();
    return attach_remote(std::move(*connection), parsed->text(), std::move(name), progress);
}

namespace {

class RemoteBackend : public Backend {
  public:
    explicit RemoteBackend(std::string scheme) : scheme_(std::move(scheme)) {}
    std::string_view scheme() const override { return scheme_; }
    std::vector<TargetName> list() override { return {}; }
    Result<std::unique_ptr<Target>> attach(std::string_view rest, const Progress& progress) override {
        return attach_remote(fmt::format("{}:{}", scheme_, rest), "", progress);
    }

  private:
    std::string scheme_;
};

class UnixBackend final : public RemoteBackend {
  public:
    UnixBackend() : RemoteBackend("unix") {}
    std::vector<TargetName> list() override {
        std::vector<TargetName> found;
        DIR* folder = ::opendir(std::string(kSocketFolder).c_str());
        if (folder == nullptr) return found;
        while (const dirent* entry = ::readdir(folder)) {
            const std::string path = fmt::format("{}/{}", kSocketFolder, entry->d_name);
            struct stat status {};
            if (::stat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) continue;
            TargetName name{"unix:" + path, "agent on this machine", true, {}};
            if (::access(path.c_str(), R_OK | W_OK) != 0) {
                name.available = false;
                name.why_not = fmt::format("You may not open {}: run as root, or join the socket's group.", path);
            }
            found.push_back(std::move(name));
        }
        ::closedir(folder);
        std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.uri < b.uri; });
        return found;
    }
};

}  // namespace

std::unique_ptr<Backend> tcp_backend() {
    return std::make_unique<RemoteBackend>("tcp");
}
std::unique_ptr<Backend> unix_backend() {
    return std::make_unique<UnixBackend>();
}

}  // namespace vmxscope::core::rsp
