#include "plugins/kvm/kvm_target.h"

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "plugins/kvm/qmp.h"

#ifndef VMXSCOPE_VERSION
#error "VMXSCOPE_VERSION is given by the build"
#endif

namespace vmxscope::kvm {

using core::Result;
using core::StepKind;
using core::VcpuState;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t kPastBytes = 64u << 20;  // of the session's past: a million transitions, and more

std::optional<bool> parameter(const char* name) {
    std::ifstream in(std::string("/sys/module/kvm_intel/parameters/") + name);
    char c = 0;
    if (!(in >> c)) return std::nullopt;
    return c == 'Y' || c == '1';
}

Parameters kvm_parameters() {
    return {parameter("ept"), parameter("enable_shadow_vmcs"), parameter("vpid"), parameter("unrestricted_guest")};
}

std::string cpu_name() {
    std::ifstream in("/proc/cpuinfo");
    for (std::string line; std::getline(in, line);)
        if (line.starts_with("model name"))
            if (const auto colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
    return "unknown";
}

}  // namespace

KvmTarget::KvmTarget(ProbePlan plan, std::uint32_t pid)
    : plan_(std::move(plan)), pid_(pid), parameters_(kvm_parameters()), intake_(plan_, parameters_, kPastBytes) {}

KvmTarget::~KvmTarget() {
    if (pidfd_ >= 0) ::close(pidfd_);
}

core::Abilities KvmTarget::abilities() const {
    using enum core::Ability;
    const core::Abilities all{Transitions, Record, Evidence, Capabilities, Memory, Looking, NonStop};
    return watching_.writes ? all.with(Write) : all;
}

Result<void> KvmTarget::start(const AttachOptions& options) {
    // A kernel without it is worth a note, no more.
    if (auto refusals = Refusals::open()) intake_.ask_reasons_of(std::move(*refusals));
    else plan_.notes.push_back(refusals.error().text());
    watching_.ring_bytes = options.ring_bytes;
    watching_.writes = options.allow_writes;
    intake_.changes_to(watched());
    // Attaching ends at the first transition of any vCPU, so that there is something to show.
    intake_.new_vcpus(true, StepKind::Transition);
    auto device = Device::open(plan_, pid_, VMXSCOPE_STOP_NOW, watching_);
    if (!device) return tl::unexpected(device.error());
    device_ = std::move(*device);
    if (options.allow_writes) writer_.emplace(*device_, plan_);
    pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (pidfd_ < 0) return core::fail(fmt::format("Process {} has ended.", pid_));
    if (!options.resume_qmp.empty())
        if (const auto ok = qmp_continue(options.resume_qmp); !ok) return ok;
    utsname name{};
    ::uname(&name);
    info_.name = fmt::format("kvm:{}", pid_);
    info_.kernel = name.release;
    info_.cpu = cpu_name();
    info_.pid = pid_;
    info_.agent = VMXSCOPE_VERSION;
    info_.host = name.nodename;
    info_.tsc_khz = device_->tsc_khz();
    running_ = true;
    info_.notes = notes_of(plan_);
    attached_at_ = steady_clock::now();
    // Until now every vCPU was held at its first sight; the first crossing of any is where attaching ends.
    return device_->run(VMXSCOPE_ALL_SLOTS, stop_classes(StepKind::Transition), VMXSCOPE_RUN_RELEASE);
}

// --- Looking ---------------------------------------------------------------------------------------------------------

Result<std::vector<core::Vcpu>> KvmTarget::vcpus() {
    if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
    std::vector<core::Vcpu> out;
    for (auto& [index, slot] : intake_.slots()) {
        core::Vcpu v;
        v.id = id_of(index, slot);
        v.tid = slot.tid;
        // One that rests only until the agent has caught up runs, for whoever asks.
        const bool runs = slot.asked && (non_stop_ || running_);
        v.state = gone_ ? VcpuState::Gone : runs ? VcpuState::Running : slot.held ? VcpuState::Held : VcpuState::Waiting;
        v.last_seq = slot.shown;
        // As its shown transition has it: the vCPU itself may be held some crossings further on.
        const auto shown = slot.shown && slot.shown != intake_.newest_of(slot) ? transition(slot.shown) : tl::unexpected(core::Error{});
        v.level = shown ? core::level_after(shown->kind) : slot.assembler.level();
        out.push_back(v);
    }
    std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.id < b.id; });
    return out;
}

/// Up to the newest shown transition: what lies ahead of it was passed by the vCPU but is for later steps to show.
Result<core::History> KvmTarget::history() {
    core::History h;
    h.lost = intake_.lost();
    Journal& journal = intake_.journal();
    std::uint64_t shown = 0;
    for (const auto& [index, slot] : intake_.slots()) shown = std::max(shown, slot.shown);
    if (runs() || gone_) shown = std::max(shown, journal.last());
    if (journal.first() && shown >= journal.first()) {
        h.first = journal.first();
        h.last = shown;
    }
    return h;
}

Result<const Inspector*> KvmTarget::inspector() {
    if (!inspector_) {
        auto opened = Inspector::open(pid_, parameters_.ept.value_or(true));
        if (!opened) return tl::unexpected(opened.error());
        inspector_.emplace(std::move(*opened));
    }
    return &*inspector_;
}

Result<HeldVcpu> KvmTarget::held(std::uint32_t vcpu) {
    if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
    const auto found = intake_.find(vcpu);
    if (found == intake_.slots().end()) return core::fail(fmt::format("The guest has no vCPU {}.", vcpu));
    const Slot& slot = found->second;
    if (!slot.held || gone_) return core::fail(fmt::format("vCPU {} is not held: its memory may change while it is looked at.", vcpu), "Interrupt it first.");
    HeldVcpu v = slot.seen;
    v.level = slot.assembler.level().value_or(1);
    if (!v.address) return core::fail(fmt::format("No VM-entry of vCPU {} was seen yet.", vcpu), "Step it first.");
    return v;
}

Result<core::TargetCapabilities> KvmTarget::capabilities() {
    if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
    core::TargetCapabilities c;
    const auto msrs = device_->capability_msrs();
    if (!msrs) return tl::unexpected(msrs.error());
    c.l0.msrs = *msrs;
    read_cpuid_widths(c.l0);
    const auto seen = std::find_if(intake_.slots().begin(), intake_.slots().end(), [](const auto& s) { return s.second.seen.address != 0; });
    if (seen == intake_.slots().end()) return core::fail("No VM-entry of any vCPU was seen yet.", "Step first.");
    const auto look = inspector();
    if (!look) return tl::unexpected(look.error());
    auto l1 = (*look)->l1_capabilities(seen->second.seen.address);
    if (!l1) return tl::unexpected(l1.error());
    c.l1 = *l1;
    return c;
}

Result<std::vector<std::byte>> KvmTarget::read_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, std::size_t size) {
    return look(vcpu, [&](const Inspector& in, const HeldVcpu& v) { return in.read_memory(v, space, address, size); });
}

Result<std::vector<std::byte>> KvmTarget::msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) {
    return look(vcpu, [&](const Inspector& in, const HeldVcpu& v) { return in.msr_bitmap(v, which); });
}

Result<std::vector<vmx::WalkStep>> KvmTarget::ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) {
    return look(vcpu, [&](const Inspector& in, const HeldVcpu& v) { return in.ept02_walk(v, l2_physical); });
}

Result<void> KvmTarget::write_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, const std::vector<std::byte>& bytes) {
    if (!writer_) return Target::write_memory(vcpu, space, address, bytes);
    const auto v = held(vcpu);
    if (!v) return tl::unexpected(v.error());
    const auto in = inspector();
    if (!in) return tl::unexpected(in.error());
    return writer_->memory(vcpu, intake_.find(vcpu)->second.shown, **in, *v, space, address, bytes);
}

Result<void> KvmTarget::write_field(std::uint32_t vcpu, core::WrittenVmcs which, vmx::Field field, std::uint64_t value) {
    if (!writer_) return Target::write_field(vcpu, which, field, value);
    const auto v = held(vcpu);
    if (!v) return tl::unexpected(v.error());
    const auto& [index, slot] = *intake_.find(vcpu);
    return writer_->field(vcpu, index, slot.shown, v->level, which, field, value);
}

Result<void> KvmTarget::detach() {
    writer_.reset();
    device_.reset();
    intake_.ask_no_more();
    running_ = false;
    return {};
}

Result<std::unique_ptr<core::Target>> attach_kvm(ProbePlan plan, const KvmProcess& process, const AttachOptions& options) {
    auto target = std::make_unique<KvmTarget>(std::move(plan), process.pid);
    if (const auto ok = target->start(options); !ok) return tl::unexpected(ok.error());
    return target;
}

}  // namespace vmxscope::kvm
