#include "core/rsp/remote_target.h"

#include <fmt/format.h>

#include <optional>
#include <span>
#include <vector>

#include "core/rsp/codec.h"
#include "core/rsp/endpoint.h"
#include "core/rsp/objects.h"
#include "core/rsp/packet.h"
#include "nested/transition_codec.h"

namespace vmxscope::core::rsp {

using std::chrono::milliseconds;

namespace {

constexpr auto kProbesLimit = std::chrono::seconds(900);  // hundreds, on an emulated processor

std::string vmx(std::string_view annex) {
    return fmt::format("vmx:read:{}", annex);
}

std::vector<std::byte> bytes_of(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

class RemoteTarget final : public Target {
  public:
    explicit RemoteTarget(Client client) : client_(std::move(client)) {}
    ~RemoteTarget() override { (void)RemoteTarget::detach(); }

    Result<void> attach(std::string name);

    const TargetInfo& info() const override { return info_; }
    /// The server's, but for what this client does not ask for.
    Abilities abilities() const override { return abilities_.without({Ability::NonStop}); }
    Result<std::vector<Vcpu>> vcpus() override { return client_.object(vmx("vcpus")).and_then(parse_vcpus); }
    Result<History> history() override { return client_.object(vmx("history")).and_then(parse_history); }
    Result<nested::Transition> transition(std::uint64_t seq) override;
    Result<void> resume(const std::vector<Action>& actions) override;
    Result<void> resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) override;
    Result<std::optional<Stop>> wait(milliseconds limit) override;
    Result<void> interrupt() override;
    Result<std::vector<std::byte>> past(std::uint64_t from) override {
        return client_.object(vmx(fmt::format("past/{}", from))).map(bytes_of);
    }
    Result<void> record(const RecordSettings& settings) override {
        return client_.command("QVmxRecord:" + record_text(settings), kProbesLimit);
    }
    Result<void> set_evidence(nested::EvidenceScope scope) override;
    Result<TargetCapabilities> capabilities() override {
        return client_.object(vmx("capabilities")).and_then(parse_capabilities);
    }
    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                               std::size_t size) override {
        return read_bytes(fmt::format("memory/{}/{}/{:x}/{:x}", vcpu, name_of(space), address, size), size);
    }
    Result<std::vector<std::byte>> msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) override {
        const std::string_view name = which == HardwareVmcs::Vmcs01 ? "vmcs01" : "vmcs02";
        return read_bytes(fmt::format("msr-bitmap/{}/{}", vcpu, name), 4096);
    }
    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) override {
        return client_.object(vmx(fmt::format("ept02/{}/{:x}", vcpu, l2_physical))).and_then(parse_walk);
    }
    Result<void> write_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                              const std::vector<std::byte>& bytes) override;
    Result<void> write_field(std::uint32_t vcpu, WrittenVmcs which, vmx::Field field, std::uint64_t value) override {
        return client_.command(fmt::format("QVmxWrite:field/{}/{}/{:x}/{:x}", vcpu, name_of(which),
                                           static_cast<std::uint32_t>(field), value));
    }
    Result<std::vector<Write>> ledger() override { return client_.object(vmx("ledger")).and_then(parse_ledger); }
    Result<void> detach() override { return client_.leave("D;1"); }

  private:
    Result<void> take_info(const Result<std::string>& text);
    Result<nested::Transition> decoded(std::uint64_t seq, std::string_view bytes) const;
    Result<std::vector<std::byte>> read_bytes(std::string_view name, std::size_t size);
    Result<void> set_step_kind(StepKind kind);

    Client client_;
    TargetInfo info_;
    Abilities abilities_;
    StepKind step_ = StepKind::Transition;  // what the server takes a step for
    std::optional<nested::Transition> delivered_;  // of the last stop: who steps looks at it next
};

Result<void> RemoteTarget::attach(std::string name) {
    if (auto read = take_info(client_.object(vmx("info"))); !read) return read;
    const auto abilities = client_.object(vmx("abilities")).and_then(parse_abilities);
    if (!abilities) return tl::unexpected(abilities.error());
    abilities_ = *abilities;
    if (!name.empty()) info_.name = std::move(name);
    client_.attached();
    (void)client_.command("QVmxDeliver:1");  // who does not know it is asked for each transition
    return client_.run("?");
}

Result<void> RemoteTarget::take_info(const Result<std::string>& text) {
    auto info = text.and_then([](const std::string& t) { return parse_info(t); });
    if (!info) return tl::unexpected(info.error());
    if (!info_.name.empty()) info->name = info_.name;
    info_ = std::move(*info);
    return {};
}

Result<nested::Transition> RemoteTarget::transition(std::uint64_t seq) {
    if (delivered_ && delivered_->seq == seq) return *delivered_;
    return client_.object(vmx(fmt::format("transition/{}", seq))).and_then([&](const std::string& bytes) {
        return decoded(seq, bytes);
    });
}

Result<nested::Transition> RemoteTarget::decoded(std::uint64_t seq, std::string_view bytes) const {
    auto t = nested::decode(std::as_bytes(std::span(bytes)));
    if (!t)
        return fail(fmt::format("Transition {} of {} cannot be read: {} at byte {}.", seq, client_.peer(),
                                t.error().what, t.error().offset),
                    "Check that the agent is of the same version as this program.");
    if (t->seq != seq)
        return fail(fmt::format("{} was asked for transition {} and sent transition {}.", client_.peer(), seq, t->seq));
    return std::move(*t);
}

Result<void> RemoteTarget::set_step_kind(StepKind kind) {
    if (kind == step_) return {};
    auto set = client_.command(fmt::format("QVmxStep:{}", name_of(kind)));
    if (set) step_ = kind;
    return set;
}

/// One kind of step holds for the whole connection, so one resume() can use but one.
Result<void> RemoteTarget::resume(const std::vector<Action>& actions) {
    std::optional<StepKind> wanted;
    for (const Action& a : actions) {
        if (a.step && wanted && *a.step != *wanted)
            return fail("All vCPUs that step must step to the same kind of transition.");
        if (a.step) wanted = a.step;
    }
    if (actions.empty()) return fail("No vCPU was told to go.");
    if (client_.running()) return fail("The guest already runs.", "Interrupt it first.");
    if (wanted)
        if (auto set = set_step_kind(*wanted); !set) return set;
    return client_.run(vcont_text(actions));
}

/// `bs` goes back by the kind of step that holds, on the thread that Hc chose.
Result<void> RemoteTarget::resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) {
    if (!can(Ability::Back)) return Target::resume_back(step, vcpu);
    if (client_.running()) return fail("The guest already runs.", "Interrupt it first.");
    if (!step) return client_.run("bc");
    if (auto set = set_step_kind(*step); !set) return set;
    const auto chosen = client_.command("Hc" + (vcpu ? thread_text(*vcpu, true) : std::string("p1.-1")));
    if (!chosen) return chosen;
    return client_.run("bs");
}

Result<std::optional<Stop>> RemoteTarget::wait(milliseconds limit) {
    auto raw = client_.stop(limit);
    if (!raw) return tl::unexpected(raw.error());
    if (!*raw) return std::nullopt;
    auto stop = parse_stop_reply((*raw)->packet);
    if (!stop) return tl::unexpected(stop.error());
    if (const auto data = stop_data((*raw)->packet); !data.empty()) {
        auto t = decoded(stop->seq, data);
        if (!t) return tl::unexpected(t.error());
        delivered_ = std::move(*t);
    }
    if (stop->why == Stop::Why::GuestGone || stop->why == Stop::Why::End) stop->text = (*raw)->console;
    return std::optional(std::move(*stop));
}

Result<void> RemoteTarget::interrupt() {
    return client_.interrupt();
}

/// Hundreds of probes are placed or removed. What could not be is in the notes then.
Result<void> RemoteTarget::set_evidence(nested::EvidenceScope scope) {
    auto set = client_.command(fmt::format("QVmxEvidence:{}", nested::name_of(scope)), kProbesLimit);
    if (!set) return set;
    return take_info(client_.object(vmx("info")));
}

Result<void> RemoteTarget::write_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                        const std::vector<std::byte>& bytes) {
    if (bytes.empty() || bytes.size() > kMostWritten)
        return fail(fmt::format("Memory is written in pieces of 1 to {} bytes.", kMostWritten));
    const std::string hex = to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return client_.command(fmt::format("QVmxWrite:memory/{}/{}/{:x}/{}", vcpu, name_of(space), address, hex));
}

/// An object that is nothing but bytes, `size` of them.
Result<std::vector<std::byte>> RemoteTarget::read_bytes(std::string_view name, std::size_t size) {
    const auto bytes = client_.object(vmx(name));
    if (!bytes) return tl::unexpected(bytes.error());
    if (bytes->size() != size)
        return fail(
            fmt::format("{} was asked for {} bytes of memory and sent {}.", client_.peer(), size, bytes->size()));
    return bytes_of(*bytes);
}

}  // namespace

Result<std::unique_ptr<Target>> attach_agent(Client client, std::string name) {
    auto target = std::make_unique<RemoteTarget>(std::move(client));
    if (auto done = target->attach(std::move(name)); !done) return tl::unexpected(done.error());
    return target;
}

Result<std::unique_ptr<Target>> attach_remote(Fd connection, std::string peer, std::string name,
                                              const Progress& progress) {
    Client client(std::move(connection), std::move(peer), progress);
    if (auto greeted = client.greet(); !greeted) return tl::unexpected(greeted.error());
    if (!client.offers(kAgentFeature))
        return client.break_off(fmt::format("{} speaks the GDB protocol, but is no vmxscope agent.", client.peer()),
                                "Attach gdb to it, or connect to a vmxscope-agent.");
    return attach_agent(std::move(client), std::move(name));
}

Result<std::unique_ptr<Target>> attach_remote(std::string_view endpoint, std::string name, const Progress& progress) {
    const auto parsed = parse_endpoint(endpoint);
    if (!parsed) return tl::unexpected(parsed.error());
    auto connection = connect_to(*parsed, progress);
    if (!connection) return tl::unexpected(connection.error());
    if (name.empty()) name = parsed->text();
    return attach_remote(std::move(*connection), parsed->text(), std::move(name), progress);
}

}  // namespace vmxscope::core::rsp
