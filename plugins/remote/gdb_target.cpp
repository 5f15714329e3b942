#include "plugins/remote/gdb_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>

#include "core/rsp/codec.h"
#include "plugins/remote/registers.h"
#include "plugins/remote/stop_reply.h"
#include "plugins/remote/target_description.h"

namespace vmxscope::remote {

namespace {

using namespace core;
using rsp::Client;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kMostThreads = 4096;
constexpr auto kFirstStopLimit = std::chrono::seconds(60);
constexpr auto kStopLimit =
    std::chrono::seconds(10);                // for a guest that is left to stop, so that it can be left properly
constexpr std::uint64_t kProtectedMode = 1;  // CR0.PE

tl::unexpected<Error> no_vmcs() {
    return fail("This is a GDB stub without VMX: it has registers and memory, and no VMCS.",
                "For the VMCS, attach to a vmxscope-agent on L0.");
}

class GdbTarget final : public Target {
  public:
    explicit GdbTarget(Client client) : client_(std::move(client)) {}
    ~GdbTarget() override { (void)GdbTarget::detach(); }

    Result<void> attach(std::string name);

    const TargetInfo& info() const override { return info_; }
    Abilities abilities() const override { return abilities_; }
    Result<std::vector<Vcpu>> vcpus() override;
    Result<void> resume(const std::vector<Action>& actions) override;
    Result<void> resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) override;
    Result<std::optional<Stop>> wait(milliseconds limit) override;
    Result<void> interrupt() override { return client_.interrupt(); }
    Result<History> history() override { return History{}; }
    Result<nested::Transition> transition(std::uint64_t) override { return no_vmcs(); }
    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                               std::size_t size) override;
    Result<std::vector<RegisterBytes>> registers(std::uint32_t vcpu) override;
    Result<void> insert_breakpoint(std::uint64_t address) override;
    Result<void> remove_breakpoint(std::uint64_t address) override;
    Result<void> detach() override;

  private:
    Result<void> find_out();
    Result<void> describe();
    Result<void> list_threads();
    Result<std::string> ask_of(std::uint32_t vcpu, const std::string& packet);
    Result<std::vector<std::byte>> read_pieces(std::uint64_t address, std::size_t size);
    Result<void> check_held() const;
    Result<void> check(const std::vector<Action>& actions) const;
    std::string run_text(const std::vector<Action>& actions) const;
    Result<void> step_off(std::uint64_t breakpoint, const std::vector<Action>& actions);
    Result<std::optional<std::uint64_t>> breakpoint_here();
    Stop meaning_of(const StubStop& stop);
    Result<bool> after_step_off(const StubStop& stop);
    std::uint32_t vcpu_of(const std::optional<Thread>& thread);
    std::string breakpoint_text(char verb, std::uint64_t address) const {
        return fmt::format("{}{},{:x},1", verb, breakpoint_type_, address);
    }

    Client client_;
    TargetInfo info_;
    Abilities abilities_;
    std::vector<RegisterShape> shapes_;
    std::vector<Thread> threads_;  // a vCPU's number is its place in it
    std::vector<bool> alive_;      // of the threads
    bool physical_ = false;        // QEMU's PhyMemMode
    bool vcont_ = false;
    char breakpoint_type_ = 0;  // '0' (software) or '1' (hardware)
    std::set<std::uint64_t> breakpoints_;
    std::optional<Stop> attached_;  // the first stop, not yet taken
    bool gone_ = false;
    std::uint32_t stopped_ = 0;            // the vCPU of the last stop,
    unsigned signal_ = 0;                  // and the signal that it is to be resumed with, if any
    std::optional<std::uint64_t> lifted_;  // a breakpoint that is out while its vCPU steps off it,
    std::string then_;                     // and what it is resumed with afterwards; "" = that step was all
};

Result<void> GdbTarget::attach(std::string name) {
    info_.name = std::move(name);
    // First of all: before, gdbserver has no program that it could describe, and dies of being asked.
    if (auto asked = client_.run("?"); !asked) return asked;
    const auto raw = client_.stop(kFirstStopLimit);
    if (!raw) return tl::unexpected(raw.error());
    if (!*raw) return client_.break_off(fmt::format("{} does not say where it stopped.", client_.peer()), "");
    const auto stop = parse_stub_stop((*raw)->packet);
    if (!stop) return tl::unexpected(stop.error());
    if (stop->gone)
        return client_.break_off(fmt::format("The guest at {} has ended.", client_.peer()), "Start it again.");
    if (auto done = describe(); !done) return done;
    if (auto done = list_threads(); !done) return done;
    if (auto done = find_out(); !done) return done;
    attached_ = meaning_of(*stop);
    attached_->why = Stop::Why::Attached;
    client_.attached();
    return {};
}

/// What the stub can do. Removing a breakpoint that is not there changes nothing, and tells whether there could be one.
Result<void> GdbTarget::find_out() {
    const auto physical = client_.request("qqemu.PhyMemMode");
    const auto actions = client_.request("vCont?");
    if (!client_.usable()) return tl::unexpected(actions.error());
    physical_ = physical && (*physical == "0" || *physical == "1");
    vcont_ = actions && actions->starts_with("vCont") && actions->find(";s") != std::string::npos;
    for (const char type : {'0', '1'}) {
        if (breakpoint_type_ != 0) break;
        const auto removed = client_.request(fmt::format("z{},0,1", type));
        if (!client_.usable()) return tl::unexpected(removed.error());
        if (!removed || !removed->empty()) breakpoint_type_ = type;
    }
    abilities_ = {Ability::Instructions, Ability::Memory};
    if (breakpoint_type_ != 0) abilities_ = abilities_.with(Ability::Breakpoints);
    if (client_.offers("ReverseStep+") && client_.offers("ReverseContinue+"))
        abilities_ = abilities_.with(Ability::Back);
    info_.notes.push_back(
        fmt::format("{} is {}: registers, memory and single instructions. The VMCS needs a vmxscope-agent on L0.",
                    client_.peer(), physical_ ? "QEMU's own GDB stub" : "a GDB stub, not a vmxscope agent"));
    return {};
}

Result<void> GdbTarget::describe() {
    shapes_ = usual_registers();
    if (!client_.offers("qXfer:features:read+")) return {};
    auto described =
        read_description([this](const std::string& name) { return client_.object("features:read:" + name, kMostXml); });
    if (!client_.usable()) return tl::unexpected(described.error());
    if (described) {
        shapes_ = std::move(described->registers);
        info_.cpu = described->architecture.substr(0, 100);
    } else {
        info_.notes.push_back(described.error().what + " The registers are taken for those of x86-64.");
    }
    return {};
}

/// vCPUs keep their numbers: those that come are added at the end.
Result<void> GdbTarget::list_threads() {
    std::vector<Thread> listed;
    for (auto reply = client_.request("qfThreadInfo");; reply = client_.request("qsThreadInfo")) {
        if (!reply) return tl::unexpected(reply.error());
        if (*reply == "l" || reply->empty()) break;
        const auto some = reply->starts_with('m') ? parse_threads(std::string_view(*reply).substr(1)) : std::nullopt;
        if (!some || some->empty() || listed.size() + some->size() > kMostThreads)
            return fail(fmt::format("{}'s list of threads makes no sense.", client_.peer()));
        listed.insert(listed.end(), some->begin(), some->end());
    }
    // A stub that knows no threads has one.
    if (listed.empty()) listed.push_back({std::nullopt, 1});
    alive_.assign(threads_.size(), false);
    for (const Thread& thread : listed) alive_[vcpu_of(thread)] = true;
    return {};
}

std::uint32_t GdbTarget::vcpu_of(const std::optional<Thread>& thread) {
    if (!thread) return 0;
    const auto at = std::find(threads_.begin(), threads_.end(), *thread);
    const auto place = static_cast<std::uint32_t>(at - threads_.begin());
    if (at != threads_.end() || threads_.size() >= kMostThreads) return at != threads_.end() ? place : 0;
    threads_.push_back(*thread);
    alive_.resize(threads_.size(), true);
    return place;
}

Result<std::vector<Vcpu>> GdbTarget::vcpus() {
    // QEMU stops the guest at any packet that comes while it runs.
    if (!client_.running() && !gone_)
        if (auto listed = list_threads(); !listed) return tl::unexpected(listed.error());
    std::vector<Vcpu> all;
    for (std::size_t i = 0; i < threads_.size(); ++i) {
        Vcpu v;
        v.id = static_cast<std::uint32_t>(i);
        v.tid = static_cast<std::uint32_t>(threads_[i].id);
        v.state = gone_ || !alive_[i] ? VcpuState::Gone : client_.running() ? VcpuState::Running : VcpuState::Held;
        all.push_back(v);
    }
    return all;
}

Result<void> GdbTarget::check_held() const {
    if (gone_) return fail("The guest has ended.", "Start it again to go on.");
    if (client_.running()) return fail("The guest runs.", "Interrupt it first.");
    return {};
}

Result<std::string> GdbTarget::ask_of(std::uint32_t vcpu, const std::string& packet) {
    if (auto held = check_held(); !held) return tl::unexpected(held.error());
    if (vcpu >= threads_.size()) return fail(fmt::format("The guest has no vCPU {}.", vcpu));
    auto replies = client_.requests({"Hg" + threads_[vcpu].text(), packet});
    if (!replies[0]) return tl::unexpected(replies[0].error());
    return std::move(replies[1]);
}

Result<std::vector<RegisterBytes>> GdbTarget::registers(std::uint32_t vcpu) {
    return ask_of(vcpu, "g").and_then([&](const std::string& hex) { return read_registers(shapes_, hex); });
}

Result<std::vector<std::byte>> GdbTarget::read_pieces(std::uint64_t address, std::size_t size) {
    const std::size_t piece = (client_.packet_size() - 16) / 2;
    std::vector<std::string> packets;
    for (std::size_t at = 0; at < size; at += piece)
        packets.push_back(fmt::format("m{:x},{:x}", address + at, std::min(piece, size - at)));
    std::vector<std::byte> bytes;
    for (const auto& reply : client_.requests(packets)) {
        const auto some = reply ? rsp::from_hex(*reply) : std::nullopt;
        if (!client_.usable()) return tl::unexpected(reply.error());
        const std::size_t wanted = std::min(piece, size - bytes.size());
        if (some && some->size() <= wanted) {
            const auto view = std::as_bytes(std::span(*some));
            bytes.insert(bytes.end(), view.begin(), view.end());
        }
        if (!some || some->size() != wanted)
            return fail(fmt::format("Nothing is mapped at {:#x}.", address + bytes.size()));
    }
    return bytes;
}

Result<std::vector<std::byte>> GdbTarget::read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                                      std::size_t size) {
    if (size == 0 || size > kMostMemory)
        return fail(fmt::format("Memory is read in pieces of 1 to {} bytes; {} were asked for.", kMostMemory, size));
    const bool physical = space == Space::L1Physical;
    if (!physical && space != Space::L1Linear)
        return fail("A GDB stub knows no L2: its memory is as the vCPU itself sees it.",
                    "Ask for l1-linear addresses.");
    if (physical && !physical_)
        return fail("This GDB stub reads no physical memory.", "Ask for l1-linear addresses, or use QEMU's own stub.");
    const auto chosen = ask_of(vcpu, physical ? "Qqemu.PhyMemMode:1" : "qC");
    if (!chosen) return tl::unexpected(chosen.error());
    auto bytes = read_pieces(address, size);
    if (!physical) return bytes;
    if (auto back = client_.command("Qqemu.PhyMemMode:0"); !back) return tl::unexpected(back.error());
    return bytes;
}

Result<void> GdbTarget::insert_breakpoint(std::uint64_t address) {
    if (breakpoint_type_ == 0) return fail("This GDB stub sets no breakpoints.");
    if (auto held = check_held(); !held) return held;
    if (breakpoints_.contains(address)) return {};
    auto set = client_.command(breakpoint_text('Z', address));
    if (!set && client_.usable())
        return fail(fmt::format("No breakpoint can be set at {:#x}: {}", address, set.error().what));
    if (set) breakpoints_.insert(address);
    return set;
}

Result<void> GdbTarget::remove_breakpoint(std::uint64_t address) {
    if (!breakpoints_.contains(address)) return {};
    if (auto held = check_held(); !held) return held;
    auto removed = client_.command(breakpoint_text('z', address));
    if (removed) breakpoints_.erase(address);
    return removed;
}

Result<void> GdbTarget::check(const std::vector<Action>& actions) const {
    if (actions.empty()) return fail("No vCPU was told to go.");
    if (auto held = check_held(); !held) return held;
    for (const Action& a : actions) {
        if (a.step && *a.step != StepKind::Instruction)
            return fail("A GDB stub without VMX steps instructions, no transitions.",
                        "Step instructions, or attach to a vmxscope-agent on L0.");
        if (a.vcpu && *a.vcpu >= threads_.size()) return fail(fmt::format("The guest has no vCPU {}.", *a.vcpu));
    }
    const bool one_steps = actions.front().step.has_value() && actions.size() <= 2;
    if (!vcont_ && !one_steps && (actions.size() > 1 || actions.front().vcpu))
        return fail("This GDB stub lets all vCPUs go, or one step.");
    return {};
}

/// The leftmost match counts: the vCPUs that are named come before the rest, and who is to get a signal before all.
std::string GdbTarget::run_text(const std::vector<Action>& actions) const {
    const auto verb = [&](const Action& a, bool signal) {
        const char c = a.step ? 's' : 'c';
        return signal ? fmt::format(";{:c}{:02x}", std::toupper(c), signal_) : fmt::format(";{}", c);
    };
    if (!vcont_) return verb(actions.front(), signal_ != 0).substr(1);
    std::string named = "vCont", rest;
    bool signalled = signal_ == 0;
    for (const Action& a : actions) {
        const bool gets = !signalled && a.vcpu.value_or(stopped_) == stopped_;
        if (gets) named += verb(a, true) + ":" + threads_[stopped_].text();
        if (gets) signalled = true;
        if (a.vcpu && !gets) named += verb(a, false) + ":" + threads_[*a.vcpu].text();
        if (!a.vcpu) rest += verb(a, false);
    }
    return named + rest;
}

/// The breakpoint that the vCPU of the last stop stands at. In real mode it is at the linear address, as all of them
/// are.
Result<std::optional<std::uint64_t>> GdbTarget::breakpoint_here() {
    if (breakpoints_.empty()) return std::nullopt;
    const auto all = registers(stopped_);
    if (!all) return tl::unexpected(all.error());
    const auto rip = value_of(*all, "rip"), cr0 = value_of(*all, "cr0"), cs = value_of(*all, "cs");
    if (!rip) return std::nullopt;
    const bool real_mode = cr0 && !(*cr0 & kProtectedMode);
    const std::uint64_t linear = real_mode ? *rip + 16 * cs.value_or(0) : *rip;
    return breakpoints_.contains(linear) ? std::optional(linear) : std::nullopt;
}

/// Stubs stop again at a breakpoint that they are resumed on. So it is lifted for one step of its vCPU, as gdb does it.
Result<void> GdbTarget::step_off(std::uint64_t breakpoint, const std::vector<Action>& actions) {
    if (auto out = client_.command(breakpoint_text('z', breakpoint)); !out) return out;
    lifted_ = breakpoint;
    const auto own = std::find_if(actions.begin(), actions.end(),
                                  [&](const Action& a) { return a.vcpu.value_or(stopped_) == stopped_; });
    const bool runs = own != actions.end() && !own->step;
    then_ = runs ? run_text(actions) : "";
    return client_.run(runs ? run_text({Action{stopped_, StepKind::Instruction}}) : run_text(actions));
}

Result<void> GdbTarget::resume(const std::vector<Action>& actions) {
    if (auto ok = check(actions); !ok) return ok;
    if (!vcont_ && actions.front().vcpu)
        if (auto chosen = client_.command("Hc" + threads_[*actions.front().vcpu].text()); !chosen) return chosen;
    const auto here = breakpoint_here();
    if (!here) return tl::unexpected(here.error());
    return *here ? step_off(**here, actions) : client_.run(run_text(actions));
}

Result<void> GdbTarget::resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) {
    if (!can(Ability::Back)) return Target::resume_back(step, vcpu);
    if (auto ok = check({{vcpu, step}}); step && !ok) return ok;
    if (auto held = check_held(); !held) return held;
    if (!step) return client_.run("bc");
    const std::uint32_t which = vcpu.value_or(stopped_);
    if (auto chosen = client_.command("Hc" + threads_[which].text()); !chosen) return chosen;
    return client_.run("bs");
}

/// Puts the breakpoint back. True: that step was only the way off it, and the run goes on.
Result<bool> GdbTarget::after_step_off(const StubStop& stop) {
    if (!lifted_ || stop.gone) return false;
    const std::uint64_t address = *std::exchange(lifted_, std::nullopt);
    const std::string then = std::exchange(then_, "");
    if (auto back = client_.command(breakpoint_text('Z', address)); !back) return tl::unexpected(back.error());
    if (then.empty() || stop.signal != kTrapSignal || stop.end) return false;
    return client_.run(then).map([] { return true; });
}

Stop GdbTarget::meaning_of(const StubStop& stop) {
    stopped_ = vcpu_of(stop.thread);
    signal_ = stop.signal == kInterruptSignal || stop.signal == kTrapSignal ? 0 : stop.signal;
    gone_ = stop.gone;
    Stop told{Stop::Why::Instruction, stopped_, 0, stop.text};
    if (stop.signal == kInterruptSignal) told.why = Stop::Why::Interrupted;
    if (stop.end) told.why = Stop::Why::End;
    if (gone_) told.why = Stop::Why::GuestGone;
    return told;
}

Result<std::optional<Stop>> GdbTarget::wait(milliseconds limit) {
    if (attached_) return std::exchange(attached_, std::nullopt);
    const auto end = steady_clock::now() + limit;
    for (;;) {
        const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
        auto raw = client_.stop(std::max(left, milliseconds(0)));
        if (!raw) return tl::unexpected(raw.error());
        if (!*raw) return std::nullopt;
        const auto stop = parse_stub_stop((*raw)->packet);
        if (!stop) return tl::unexpected(stop.error());
        const auto goes_on = after_step_off(*stop);
        if (!goes_on) return tl::unexpected(goes_on.error());
        if (!*goes_on) return std::optional(meaning_of(*stop));
    }
}

Result<void> GdbTarget::detach() {
    if (!client_.usable()) return {};
    if (client_.running()) {
        (void)client_.interrupt();
        const auto stopped = client_.stop(kStopLimit);
        if (!stopped || !*stopped)
            return client_.break_off(fmt::format("{} did not stop to be left properly.", client_.peer()), "");
        const auto stop = parse_stub_stop((*stopped)->packet);
        gone_ = !stop || stop->gone;
    }
    if (gone_) return (void)client_.break_off("The guest has ended.", "Start it again."), Result<void>{};
    for (const std::uint64_t address : std::exchange(breakpoints_, {}))
        if (lifted_ != address) (void)client_.request(breakpoint_text('z', address));
    const auto process = threads_.empty() ? std::nullopt : threads_.front().process;
    return client_.leave(process ? fmt::format("D;{:x}", *process) : "D");
}

}  // namespace

Result<std::unique_ptr<Target>> attach_gdb_stub(Client client, std::string name) {
    auto target = std::make_unique<GdbTarget>(std::move(client));
    if (auto done = target->attach(std::move(name)); !done) return tl::unexpected(done.error());
    return target;
}

}  // namespace vmxscope::remote
