#include "scripted_target.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <tuple>

#include "core/rsp/codec.h"

namespace vmxscope::core::test {

using nested::Kind;
using nested::Transition;
using vmx::Field;
using vmx::Value;

Transition example_transition(std::uint64_t seq, std::uint32_t vcpu, Kind kind) {
    Transition t;
    t.seq = seq;
    t.tsc = 1'000'000 + seq;
    t.vcpu = vcpu;
    t.kind = kind;
    for (std::size_t r = 0; r < nested::kRegCount; ++r) t.regs[r] = Value::of(0x1000 * (r + 1) + seq);
    t.regs[nested::RIP] = Value::of(0x100000 + 16 * seq + 0x1000000 * vcpu);
    t.regs[nested::R15] = {};  // one that nobody read
    if (kind == Kind::L1Exit || kind == Kind::L2Exit || kind == Kind::NestedExit) t.exit.reason = Value::of(10);
    t.context.enable_ept = t.context.nested_ept = t.context.pae = t.context.dirty_vmcs12 = true;
    t.context.evmcs = false;
    t.vmcs12_after[Field::GUEST_CR0] = Value::of(0x80000021);
    t.vmcs12_after[Field::GUEST_CR3] = Value::of(0x3000 + seq);
    t.vmcs02_after[Field::GUEST_CR3] = Value::of(0x3000 + seq);
    t.vmcs02_after[Field::GUEST_CS_SELECTOR] = Value::of(0x10);
    t.vmcs02_after[Field::TSC_MULTIPLIER] = Value::unsupported();
    for (unsigned i = 0; i < 4; ++i) {
        const Field f = static_cast<Field>(static_cast<unsigned>(Field::GUEST_PDPTR0) + 2 * i);
        t.vmcs12_after[f] = t.vmcs02_after[f] = Value::of(0x103001 + 0x1000 * i);
        t.cached_pdptrs[i] = Value::of(0x103001 + 0x1000 * i);
    }
    t.vmcs12_before = t.vmcs12_after;
    t.vmcs02_as_of = seq;
    if (kind == Kind::NestedEntry)
        t.evidence.push_back(
            {nested::Evidence::Op::Vmwrite, 0x280a, Value::of(0x103001), "prepare_vmcs02_rare.constprop.0+0x4a0"});
    return t;
}

TargetCapabilities example_capabilities() {
    TargetCapabilities c;
    c.l0[vmx::CapabilityMsr::Basic] = Value::of(0xda040000000004);
    c.l0[vmx::CapabilityMsr::ExitCtls2] = Value::of(0);
    c.l0.maxphyaddr = 46;
    c.l0.linear_bits = 57;
    c.l1[vmx::CapabilityMsr::TrueEntryCtls] = Value::of(0xf3ff000011fb);
    c.l1.maxphyaddr = 40;
    return c;
}

namespace {

class ScriptedTarget final : public Target {
  public:
    explicit ScriptedTarget(std::shared_ptr<Script> script) : script_(std::move(script)) {
        info_ = {"scripted:guest", "6.1.0-test", "An emulated processor", 4711, "vmxscope-agent 0.1", {}, 0, script_->notes};
        for (std::uint32_t i = 0; i < script_->vcpus; ++i) vcpus_.push_back({i, 100 + i, VcpuState::Held, 1, 0});
        pending_ = Stop{Stop::Why::Attached, 0, 0, {}};
        ++script_->attached;
    }
    ~ScriptedTarget() override {
        (void)ScriptedTarget::detach();
        --script_->attached;
    }

    const TargetInfo& info() const override { return info_; }
    Abilities abilities() const override { return script_->abilities; }
    Result<std::vector<Vcpu>> vcpus() override { return vcpus_; }

    Result<void> resume(const std::vector<Action>& actions) override {
        if (!script_->resume_error.empty()) return fail(script_->resume_error);
        if (ended_) return fail("The guest has ended.");
        {
            const std::lock_guard lock(script_->mutex);
            script_->resumed.push_back(actions);
        }
        ++script_->resumed_times;
        if (!non_stop_) steps_.clear();
        for (Vcpu& v : vcpus_) {
            if (v.state == VcpuState::Running) continue;
            const auto own =
                std::find_if(actions.begin(), actions.end(), [&](const Action& a) { return a.vcpu == v.id; });
            const auto rest = std::find_if(actions.begin(), actions.end(), [](const Action& a) { return !a.vcpu; });
            const auto action = own != actions.end() ? own : rest;
            if (action == actions.end()) continue;
            v.state = VcpuState::Running;
            steps_.erase(v.id);
            if (action->step) steps_[v.id] = *action->step;
        }
        return {};
    }

    Result<std::optional<Stop>> wait(std::chrono::milliseconds limit) override {
        if (!pending_) stop_one();
        if (!pending_) run();
        if (!pending_) {
            std::this_thread::sleep_for(limit);
            return std::nullopt;
        }
        for (Vcpu& v : vcpus_)
            if (!non_stop_ || v.id == pending_->vcpu || ended_) v.state = ended_ ? VcpuState::Gone : VcpuState::Held;
        return std::exchange(pending_, std::nullopt);
    }

    Result<void> set_non_stop(bool on) override {
        if (!can(Ability::NonStop)) return Target::set_non_stop(on);
        non_stop_ = on;
        interrupted_.clear();
        for (Vcpu& v : vcpus_)
            if (v.state == VcpuState::Running) v.state = VcpuState::Held;
        return {};
    }
    Result<void> interrupt_one(std::uint32_t vcpu) override {
        interrupted_.push_back(vcpu);
        return {};
    }

    Result<void> write_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                              const std::vector<std::byte>& bytes) override {
        if (!can(Ability::Write)) return Target::write_memory(vcpu, space, address, bytes);
        auto before = read_memory(vcpu, space, address, bytes.size());
        if (!before) return tl::unexpected(before.error());
        for (std::size_t i = 0; i < bytes.size(); ++i) memory_[{space, address + i}] = bytes[i];
        note(vcpu, fmt::format("{} {:#x}", name_of(space), address), std::move(*before), bytes);
        return {};
    }
    Result<void> write_field(std::uint32_t vcpu, WrittenVmcs which, vmx::Field field, std::uint64_t value) override {
        if (!can(Ability::Write)) return Target::write_field(vcpu, which, field, value);
        const auto bytes = [&](std::uint64_t v) {
            std::vector<std::byte> all(vmx::bytes_of(field));
            for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::byte>(v >> (8 * i));
            return all;
        };
        std::uint64_t& now = fields_[{vcpu, which, field}];
        note(vcpu, fmt::format("{} {}", name_of(which), vmx::name_of(field)), bytes(now), bytes(value));
        now = value;
        return {};
    }
    Result<std::vector<Write>> ledger() override { return writes_; }

    Result<void> interrupt() override {
        pending_ = Stop{Stop::Why::Interrupted, 0, vcpus_[0].last_seq, {}};
        steps_.clear();
        return {};
    }

    Result<History> history() override {
        return kept_.empty() ? History{} : History{kept_.front().seq, kept_.back().seq, 0};
    }

    Result<Transition> transition(std::uint64_t seq) override {
        for (const Transition& t : kept_)
            if (t.seq == seq) return t;
        return fail(fmt::format("Transition {} is not kept any more.", seq));
    }

    Result<void> set_evidence(nested::EvidenceScope scope) override {
        scope_ = scope;
        if (scope == nested::EvidenceScope::All) info_.notes.push_back("One more was left out.");
        return {};
    }
    Result<TargetCapabilities> capabilities() override { return example_capabilities(); }
    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                               std::size_t size) override {
        if (vcpu >= vcpus_.size()) return fail(fmt::format("The guest has no vCPU {}.", vcpu));
        if (address < kMappedFrom || address >= kMappedTo || kMappedTo - address < size)
            return fail(fmt::format("The {} address {:#x} is not mapped.", name_of(space), address));
        std::vector<std::byte> bytes(size);
        for (std::size_t i = 0; i < size; ++i) {
            const std::uint64_t at = address + i - kMappedFrom;
            const bool code = space == Space::L2Linear && at < script_->code.size();
            const auto written = memory_.find({space, address + i});
            bytes[i] = written != memory_.end() ? written->second
                       : code                   ? static_cast<std::byte>(script_->code[at])
                                                : example_byte(space, address + i);
        }
        return bytes;
    }
    Result<std::vector<std::byte>> msr_bitmap(std::uint32_t, HardwareVmcs which) override {
        return std::vector<std::byte>(4096, which == HardwareVmcs::Vmcs01 ? std::byte{0xff} : std::byte{0x0f});
    }
    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t, std::uint64_t l2_physical) override {
        return std::vector<vmx::WalkStep>{{4, 0x1000, 0x2007}, {3, 0x2000 + (l2_physical >> 30) * 8, 0}};
    }

    Result<void> detach() override {
        if (!std::exchange(gone_, true)) ++script_->detached;
        return {};
    }

  private:
    void stop_one() {
        if (interrupted_.empty()) return;
        const std::uint32_t id = interrupted_.front();
        interrupted_.pop_front();
        if (vcpus_.at(id).state == VcpuState::Running)
            pending_ = Stop{Stop::Why::Interrupted, id, vcpus_.at(id).last_seq, {}};
    }

    void note(std::uint32_t vcpu, std::string what, std::vector<std::byte> before, const std::vector<std::byte>& wanted) {
        writes_.push_back({writes_.size() + 1, 1'700'000'000, vcpu, vcpus_.at(vcpu).last_seq, std::move(what), std::move(before),
                           wanted, wanted});
    }

    /// Every vCPU that runs comes to one transition more.
    void run() {
        for (Vcpu& v : vcpus_) {
            if (v.state != VcpuState::Running || script_->kinds.empty() || !steps_.contains(v.id)) continue;
            if (script_->ends_after != 0 && kept_.size() >= script_->ends_after) {
                ended_ = true;
                pending_ = Stop{Stop::Why::GuestGone, 0, 0, "QEMU ended with status 0."};
                return;
            }
            const Kind kind = script_->kinds[place_[v.id]++ % script_->kinds.size()];
            kept_.push_back(example_transition(kept_.size() + 1, v.id, kind));
            kept_.back().evidence_scope = scope_;
            if (!script_->code.empty()) kept_.back().regs[nested::RIP] = Value::of(kMappedFrom + 16 * kept_.back().seq);
            if (script_->same_rip) kept_.back().regs[nested::RIP] = Value::of(kMappedFrom);
            v.level = kind == Kind::NestedEntry || kind == Kind::L2Entry || kind == Kind::L2Exit ? 2 : 1;
            v.last_seq = kept_.back().seq;
            if (matches(steps_[v.id], kind)) {
                pending_ = Stop{Stop::Why::Transition, v.id, v.last_seq, {}};
                return;
            }
        }
    }

    std::shared_ptr<Script> script_;
    TargetInfo info_;
    std::vector<Vcpu> vcpus_;
    std::vector<Transition> kept_;
    std::map<std::uint32_t, StepKind> steps_;
    std::map<std::uint32_t, std::size_t> place_;
    std::optional<Stop> pending_;
    std::deque<std::uint32_t> interrupted_;  // in non-stop mode
    std::map<std::pair<Space, std::uint64_t>, std::byte> memory_;  // what was written
    std::map<std::tuple<std::uint32_t, WrittenVmcs, vmx::Field>, std::uint64_t> fields_;
    std::vector<Write> writes_;
    nested::EvidenceScope scope_ = nested::EvidenceScope::Pdptrs;
    bool non_stop_ = false;
    bool ended_ = false;
    bool gone_ = false;
};

}  // namespace

std::unique_ptr<Target> make_scripted_target(std::shared_ptr<Script> script) {
    return std::make_unique<ScriptedTarget>(std::move(script));
}

std::string make_folder() {
    std::string path = (std::filesystem::temp_directory_path() / "vmxscope-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    return path;
}

void remove_folder(const std::string& path) {
    std::filesystem::remove_all(path);
}

namespace {

rsp::Listener listen_or_die(const std::string& endpoint) {
    auto parsed = rsp::parse_endpoint(endpoint);
    auto listener = rsp::listen_on(parsed.value());
    if (!listener) throw std::runtime_error(listener.error().text());
    return std::move(*listener);
}

}  // namespace

RunningServer::RunningServer(std::shared_ptr<Script> script, rsp::ServerOptions options)
    : RunningServer([script]() -> Result<std::unique_ptr<Target>> { return make_scripted_target(script); }, {},
                    std::move(options)) {}

RunningServer::RunningServer(rsp::MakeTarget make_target, std::string endpoint, rsp::ServerOptions options)
    : folder_(make_folder()), listener_(listen_or_die(endpoint.empty() ? "unix:" + folder_ + "/socket" : endpoint)) {
    thread_ = std::thread([this, make = std::move(make_target), with = std::move(options)] {
        rsp::Server server(make, with);
        const auto served = server.serve(listener_, stop_);
        EXPECT_TRUE(served) << served.error().text();
    });
}

RunningServer::~RunningServer() {
    stop_ = true;
    thread_.join();
    remove_folder(folder_);
}

Fd RunningServer::connect() const {
    auto fd = rsp::connect_to(endpoint(), nullptr);
    EXPECT_TRUE(fd) << fd.error().text();
    return fd ? std::move(*fd) : Fd{};
}

void RawClient::send_raw(std::string_view bytes) {
    ASSERT_TRUE(fd_);
    while (!bytes.empty()) {
        pollfd p{fd_.get(), POLLOUT, 0};
        if (::poll(&p, 1, 10000) <= 0) return;
        const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

void RawClient::send(std::string_view payload) {
    send_raw(rsp::frame(payload));
}

namespace {

bool read_more(int fd, std::string& buffer, std::chrono::milliseconds limit) {
    pollfd p{fd, POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(limit.count())) <= 0) return false;
    char bytes[4096];
    const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    buffer.append(bytes, static_cast<std::size_t>(n));
    return true;
}

}  // namespace

/// Those that stand whole between packets.
void RawClient::take_notifications() {
    for (;;) {
        const std::size_t start = buffer_.find_first_of("$%");
        if (start == std::string::npos || buffer_[start] != '%') return;
        const std::size_t end = buffer_.find('#', start);
        if (end == std::string::npos || buffer_.size() < end + 3) return;
        notifications_.push_back(rsp::decode_payload(std::string_view(buffer_).substr(start + 1, end - start - 1)).value_or("?"));
        buffer_.erase(0, end + 3);
    }
}

std::string RawClient::notification() {
    for (take_notifications(); notifications_.empty(); take_notifications())
        if (!read_more(fd_.get(), buffer_, std::chrono::seconds(10))) return {};
    std::string first = std::move(notifications_.front());
    notifications_.pop_front();
    return first;
}

std::string RawClient::receive(std::chrono::milliseconds limit) {
    for (;;) {
        take_notifications();
        const std::size_t start = buffer_.find('$');
        const std::size_t end = start == std::string::npos ? start : buffer_.find('#', start);
        if (end != std::string::npos && buffer_.size() >= end + 3) {
            const auto payload =
                rsp::decode_payload(std::string_view(buffer_).substr(start + 1, end - start - 1), 1 << 20);
            buffer_.erase(0, end + 3);
            if (!payload || payload->substr(0, 1) != "O" || *payload == "OK") return payload.value_or("");
            console_ += rsp::from_hex(payload->substr(1)).value_or("not hex");
            continue;
        }
        if (!read_more(fd_.get(), buffer_, limit)) return {};
    }
}

std::string RawClient::receive_raw() {
    while (read_more(fd_.get(), buffer_, std::chrono::seconds(10))) {
    }
    return std::exchange(buffer_, {});
}

}  // namespace vmxscope::core::test
