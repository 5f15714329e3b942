// A Target whose guest is a list of transitions written by hand: what the wire carries is known, so it can be checked.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/fd.h"
#include "core/rsp/server.h"
#include "core/target.h"

namespace vmxscope::core::test {

/// A transition as one of pae-ept's: registers, four PDPTRs, evidence, every value derived from `seq` and `vcpu`.
nested::Transition example_transition(std::uint64_t seq, std::uint32_t vcpu, nested::Kind kind);

/// What the scripted guest has in memory: `space` at kMappedFrom … kMappedTo, and nothing anywhere else.
inline constexpr std::uint64_t kMappedFrom = 0x400000, kMappedTo = 0x420000;
constexpr std::byte example_byte(Space space, std::uint64_t address) {
    return static_cast<std::byte>(address * 7 + static_cast<unsigned>(space));
}
TargetCapabilities example_capabilities();

/// What the tests look at from outside while the server's thread drives the Target.
struct Script {
    unsigned vcpus = 1;
    std::vector<nested::Kind> kinds;  // what each vCPU comes to, in order, over and over; empty = it never stops
    std::uint64_t ends_after = 0;     // the guest ends after so many transitions; 0 = never
    std::string resume_error;         // resume() fails with this
    std::atomic<bool> same_rip{false};  // every transition from now on has the same
    std::string code;                 // what L2 has in linear memory at kMappedFrom; then every rip is that + 16 * seq
    std::vector<std::string> notes = {"One probe was left out."};
    Abilities abilities = {Ability::Transitions, Ability::Evidence, Ability::Capabilities, Ability::Memory,
                           Ability::Looking};  // that it claims to have; it has NonStop and Write, too

    std::atomic<int> attached{0};  // Targets alive
    std::atomic<int> detached{0};  // times detach() let a held guest go
    std::atomic<int> resumed_times{0};
    std::mutex mutex;
    std::vector<std::vector<Action>> resumed;  // guarded by mutex
};

std::unique_ptr<Target> make_scripted_target(std::shared_ptr<Script> script);

/// A Server on a thread of its own, on a unix socket in a fresh folder.
class RunningServer {
  public:
    explicit RunningServer(std::shared_ptr<Script> script, rsp::ServerOptions options = {});
    explicit RunningServer(rsp::MakeTarget make_target, std::string endpoint = {}, rsp::ServerOptions options = {});
    ~RunningServer();

    const rsp::Endpoint& endpoint() const { return listener_.endpoint(); }
    Fd connect() const;

  private:
    std::string folder_;
    rsp::Listener listener_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

/// A folder that is removed with all that is in it.
std::string make_folder();
void remove_folder(const std::string& path);

/// A client that knows nothing: it sends packets and shows what comes.
class RawClient {
  public:
    explicit RawClient(Fd fd) : fd_(std::move(fd)) {}
    void send_raw(std::string_view bytes);
    void send(std::string_view payload);
    /// The next packet's payload, console output left aside; "" when none comes within `limit`, or the other side
    /// closes.
    std::string receive(std::chrono::milliseconds limit = std::chrono::seconds(10));
    std::string ask(std::string_view payload) {
        send(payload);
        return receive();
    }
    /// The next notification ("Stop:…"); "" when none comes.
    std::string notification();
    std::string receive_raw();  // whatever comes until the other side closes, or for ten seconds
    const std::string& console() const { return console_; }  // all that came of it
    void close() { fd_.reset(); }
    Fd take() { return std::move(fd_); }

  private:
    Fd fd_;
    void take_notifications();

    std::string buffer_;
    std::string console_;
    std::deque<std::string> notifications_;
};

}  // namespace vmxscope::core::test
