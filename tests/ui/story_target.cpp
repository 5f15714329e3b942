#include "tests/ui/story_target.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace vmxscope::ui::test {

namespace {

using core::Action;
using core::Result;
using core::Stop;

/// What the lab's processor can do.
vmx::Capabilities bochs_capabilities() {
    using enum vmx::CapabilityMsr;
    vmx::Capabilities caps;
    caps.maxphyaddr = 40;
    const std::pair<vmx::CapabilityMsr, std::uint64_t> values[] = {{Basic, 0x00d810000000002b},
                                                                   {PinbasedCtls, 0x0000007f00000016},
                                                                   {ProcbasedCtls, 0xf7f9fffe0401e172},
                                                                   {ExitCtls, 0x007fffff00036dff},
                                                                   {EntryCtls, 0x0000ffff000011ff},
                                                                   {Misc, 0x00000000600401e0},
                                                                   {Cr0Fixed0, 0x80000021},
                                                                   {Cr0Fixed1, 0xffffffff},
                                                                   {Cr4Fixed0, 0x2000},
                                                                   {Cr4Fixed1, 0x3727ff},
                                                                   {ProcbasedCtls2, 0x02177fff00000000},
                                                                   {EptVpidCap, 0x00000f0106334141},
                                                                   {TruePinbasedCtls, 0x7f00000016},
                                                                   {TrueProcbasedCtls, 0xf7f9fffe04006172},
                                                                   {TrueExitCtls, 0x007fffff00036dfb},
                                                                   {TrueEntryCtls, 0x0000ffff000011fb},
                                                                   {Vmfunc, 1}};
    for (const auto& [msr, bits] : values) caps[msr] = vmx::Value::of(bits);
    return caps;
}

class StoryTarget : public core::Target {
  public:
    explicit StoryTarget(std::shared_ptr<Strings> strings) : strings_(std::move(strings)) {
        info_ = {"story:", "6.1.0-56-cloud-amd64", "Intel Core i7 (Skylake-X), emulated",
                 217,      "vmxscope-agent 0.1",   {}, 2'000'000, {}};
        next_stop_ = Stop{Stop::Why::Attached, 0, 0, {}};
    }
    ~StoryTarget() override { ++strings_->detaches; }

    const core::TargetInfo& info() const override { return info_; }
    core::Abilities abilities() const override { return {core::Ability::Transitions}; }

    Result<std::vector<core::Vcpu>> vcpus() override {
        std::vector<core::Vcpu> all;
        for (int i = 0; i < strings_->vcpus; ++i) {
            core::Vcpu v{
                static_cast<std::uint32_t>(i), 300U + static_cast<std::uint32_t>(i), core::VcpuState::Held, {}, 0};
            if (i == 0) {
                v.last_seq = at_;
                if (at_ > 0) v.level = strings_->story[at_ - 1]->kind == nested::Kind::NestedEntry ? 2 : 1;
            }
            all.push_back(v);
        }
        return all;
    }

    Result<void> resume(const std::vector<Action>& actions) override {
        strings_->note(actions);
        const auto step = actions.front().step;
        const std::size_t end = strings_->story.size();
        std::size_t to = at_;
        while (to < end && !(step && to > at_ && core::matches(*step, strings_->story[to - 1]->kind))) ++to;
        const bool found = step && to > at_ && core::matches(*step, strings_->story[to - 1]->kind);
        at_ = to;
        if (found)
            next_stop_ = Stop{Stop::Why::Transition, 0, at_, {}};
        else if (!strings_->endless)
            next_stop_ = Stop{Stop::Why::GuestGone, 0, at_, "The guest ended."};
        return {};
    }

    Result<std::optional<Stop>> wait(std::chrono::milliseconds limit) override {
        if (strings_->lost) return core::fail("The connection to story: broke.", "Is the agent still running?");
        if (next_stop_) {
            return std::exchange(next_stop_, std::nullopt);
        }
        std::this_thread::sleep_for(limit);
        return std::nullopt;
    }

    Result<void> interrupt() override {
        ++strings_->interrupts;
        next_stop_ = Stop{Stop::Why::Interrupted, 0, at_, {}};
        return {};
    }

    Result<core::History> history() override { return at_ == 0 ? core::History{} : core::History{1, at_, 0}; }

    Result<nested::Transition> transition(std::uint64_t seq) override {
        if (seq == 0 || seq > at_) return core::fail("There is no such transition.");
        return *strings_->story[seq - 1];
    }

    Result<void> detach() override { return {}; }

    Result<void> record(const core::RecordSettings& settings) override {
        return strings_->tells ? Result<void>{} : Target::record(settings);
    }

    Result<void> set_evidence(nested::EvidenceScope scope) override {
        if (!strings_->tells) return Target::set_evidence(scope);
        strings_->evidence = static_cast<int>(scope);
        return {};
    }

    Result<core::TargetCapabilities> capabilities() override {
        if (!strings_->tells) return Target::capabilities();
        return core::TargetCapabilities{bochs_capabilities(), bochs_capabilities()};
    }

    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address,
                                               std::size_t size) override {
        if (!strings_->tells) return Target::read_memory(vcpu, space, address, size);
        if (address >= 0x1000'0000) return core::fail("Nothing is mapped at that address.");
        std::vector<std::byte> bytes(size);
        for (std::size_t i = 0; i + 8 <= size; i += 8) {
            const std::uint64_t qword = qword_at(space, address + i);
            std::memcpy(bytes.data() + i, &qword, 8);
        }
        return bytes;
    }

    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) override {
        if (!strings_->tells) return Target::ept02_walk(vcpu, l2_physical);
        const std::uint64_t index = l2_physical >> 12 & 0x1ff;
        return std::vector<vmx::WalkStep>{{4, 0x1092d000, 0x1092e107},
                                          {3, 0x1092e000, 0x1092f107},
                                          {2, 0x1092f000 + (l2_physical >> 21 & 0x1ff) * 8, 0x10930107},
                                          {1, 0x10930000 + index * 8, 0x7fe00f77 + (index << 12)}};
    }

  private:
    /// The table of PDPTEs at L2's CR3; L1's EPT at 0x10a000, which maps 2 MBytes a leaf onto themselves; zeros.
    std::uint64_t qword_at(core::Space space, std::uint64_t address) const {
        if (space == core::Space::L2Physical && address >= 0x102000 && address < 0x102020)
            return 0x103001 + (address - 0x102000) / 8 * 0x1000 + strings_->stale;
        if (space != core::Space::L1Physical) return 0;
        if (address == 0x10a000) return 0x10b007;
        if (address == 0x10b000) return 0x10c007;
        return address >= 0x10c000 && address < 0x10d000 ? (address - 0x10c000) / 8 << 21 | 0xb7 : 0;
    }

    std::shared_ptr<Strings> strings_;
    core::TargetInfo info_;
    std::size_t at_ = 0;  // seq of the newest transition
    std::optional<Stop> next_stop_;
};

class StoryBackend : public core::Backend {
  public:
    explicit StoryBackend(std::shared_ptr<Strings> strings) : strings_(std::move(strings)) {}
    std::string_view scheme() const override { return "story"; }
    std::vector<core::TargetName> list() override {
        return {{"story:", "a nested guest that was written by hand", true, {}},
                {"story:locked", "another one", false, "Only root may attach to it."}};
    }
    Result<std::unique_ptr<core::Target>> attach(std::string_view, const core::Progress& progress) override {
        ++strings_->attaches;
        progress("opening the book", 0.2);
        while (strings_->attach_hangs) {
            if (!progress("waiting for the first page", -1)) return core::fail("Given up.");
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        if (strings_->attach_fails) return core::fail("There is no such story.", "Write one.");
        return std::make_unique<StoryTarget>(strings_);
    }

  private:
    std::shared_ptr<Strings> strings_;
};

}  // namespace

std::vector<Action> Strings::last_actions() {
    const std::scoped_lock lock(mutex_);
    return actions_;
}

void Strings::note(std::vector<Action> actions) {
    const std::scoped_lock lock(mutex_);
    actions_ = std::move(actions);
}

std::unique_ptr<core::Backend> make_story_backend(std::shared_ptr<Strings> strings) {
    return std::make_unique<StoryBackend>(std::move(strings));
}

}  // namespace vmxscope::ui::test
