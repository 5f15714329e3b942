#include "core/target.h"

#include <algorithm>

#include <iterator>

#include <fmt/format.h>

#include "core/trace/block.h"

namespace vmxscope::core {
namespace {

constexpr std::string_view kStepNames[] = {"transition", "nested", "entry", "exit", "instruction"};
constexpr std::string_view kAbilityNames[kAbilities] = {"transitions", "back", "record", "evidence", "capabilities", "memory",
                                                        "looking", "non-stop", "write", "instructions", "breakpoints"};
constexpr std::string_view kWrittenNames[] = {"vmcs12", "vmcs02"};
constexpr std::string_view kSpaceNames[] = {"l1-phys", "l1-linear", "l2-phys", "l2-linear"};
constexpr std::string_view kStateNames[] = {"held", "running", "waiting", "gone"};

template <typename E, std::size_t N>
std::optional<E> by_name(const std::string_view (&names)[N], std::string_view name) {
    for (std::size_t i = 0; i < N; ++i)
        if (names[i] == name) return static_cast<E>(i);
    return std::nullopt;
}

/// For what a target may leave out.
tl::unexpected<Error> not_served(std::string_view what) {
    return fail(fmt::format("This target cannot {}.", what), "An agent of this version can (vmxscope-agent).");
}

tl::unexpected<Error> not_written() {
    return fail("Nothing can be written: vmxscope only looks, unless it is told otherwise.", "Start the agent with --allow-writes.");
}

}  // namespace

std::string_view name_of(StepKind k) {
    return kStepNames[static_cast<std::size_t>(k)];
}

std::optional<StepKind> step_kind_by_name(std::string_view name) {
    return by_name<StepKind>(kStepNames, name);
}

bool matches(StepKind step, nested::Kind kind) {
    const bool entry = kind == nested::Kind::NestedEntry || kind == nested::Kind::NestedEntryFailed;
    const bool exit = kind == nested::Kind::NestedExit;
    switch (step) {
        case StepKind::Transition:
            return true;
        case StepKind::Nested:
            return entry || exit;
        case StepKind::Entry:
            return entry;
        case StepKind::Exit:
            return exit;
        case StepKind::Instruction:
            return false;
    }
    return false;
}

int level_after(nested::Kind kind) {
    using enum nested::Kind;
    return kind == NestedEntry || kind == L2Entry || kind == L2Exit ? 2 : 1;
}

std::string_view name_of(VcpuState s) {
    return kStateNames[static_cast<std::size_t>(s)];
}

std::string_view name_of(Space s) {
    return kSpaceNames[static_cast<std::size_t>(s)];
}

std::optional<Space> space_by_name(std::string_view name) {
    return by_name<Space>(kSpaceNames, name);
}

std::string_view name_of(Ability a) {
    return kAbilityNames[static_cast<std::size_t>(a)];
}

std::optional<Ability> ability_by_name(std::string_view name) {
    return by_name<Ability>(kAbilityNames, name);
}

std::string_view name_of(WrittenVmcs v) {
    return kWrittenNames[static_cast<std::size_t>(v)];
}

std::optional<WrittenVmcs> written_vmcs_by_name(std::string_view name) {
    return by_name<WrittenVmcs>(kWrittenNames, name);
}

Result<std::vector<std::byte>> Target::past(std::uint64_t from) {
    const auto kept = history();
    if (!kept) return tl::unexpected(kept.error());
    trace::BlockBuilder block({.level = 1, .digests = false});
    bool full = kept->last == 0;
    for (std::uint64_t seq = std::max(from, kept->first); !full && seq <= kept->last; ++seq) {
        const auto t = transition(seq);
        if (!t) return tl::unexpected(t.error());
        full = block.add(*t);
    }
    return block.take();
}

Result<void> Target::resume_back(std::optional<StepKind>, std::optional<std::uint32_t>) {
    return fail("This target cannot go back: a guest runs only forward.", "A recording of it can (vmxscopectl record).");
}

Result<void> Target::go_to(std::uint64_t) {
    return fail("This target cannot go to another transition: a guest runs only forward.",
                "A recording of it can (vmxscopectl record).");
}

Result<void> Target::record(const RecordSettings&) {
    return not_served("record without stepping");
}

Result<void> Target::set_evidence(nested::EvidenceScope) {
    return not_served("choose what evidence is gathered");
}

Result<TargetCapabilities> Target::capabilities() {
    return not_served("tell its VMX capabilities");
}

Result<std::vector<std::byte>> Target::read_memory(std::uint32_t, Space, std::uint64_t, std::size_t) {
    return not_served("read memory");
}

Result<std::vector<std::byte>> Target::msr_bitmap(std::uint32_t, HardwareVmcs) {
    return not_served("read L0's MSR bitmaps");
}

Result<std::vector<vmx::WalkStep>> Target::ept02_walk(std::uint32_t, std::uint64_t) {
    return not_served("walk L0's EPT");
}

Result<void> Target::set_non_stop(bool on) {
    if (!on) return {};
    return fail("This target stops all vCPUs when one stops.");
}

Result<void> Target::interrupt_one(std::uint32_t) {
    return interrupt();
}

Result<void> Target::write_memory(std::uint32_t, Space, std::uint64_t, const std::vector<std::byte>&) {
    return not_written();
}

Result<void> Target::write_field(std::uint32_t, WrittenVmcs, vmx::Field, std::uint64_t) {
    return not_written();
}

Result<std::vector<Write>> Target::ledger() {
    return std::vector<Write>{};
}

Result<std::vector<RegisterBytes>> Target::registers(std::uint32_t) {
    return not_served("give registers apart from its transitions");
}

Result<void> Target::insert_breakpoint(std::uint64_t) {
    return fail("This target cannot stop at an instruction: KVM lets only the guest's VMM ask for that (KVM_SET_GUEST_DEBUG).",
                "Stop at a transition (monitor break if rip == ADDRESS), or attach to QEMU's own gdbstub.");
}

Result<void> Target::remove_breakpoint(std::uint64_t) {
    return {};
}

std::unique_ptr<Watch> Backend::watch(std::function<void()>) {
    return nullptr;
}

Result<std::unique_ptr<Target>> Backend::attach_among(const Backends&, std::string_view rest, const Progress& progress) {
    return attach(rest, progress);
}

void Backends::add(std::unique_ptr<Backend> backend) {
    backends_.push_back(std::move(backend));
}

std::vector<TargetName> Backends::list() const {
    std::vector<TargetName> all;
    for (const auto& backend : backends_)
        for (TargetName& target : backend->list()) all.push_back(std::move(target));
    return all;
}

std::vector<std::unique_ptr<Watch>> Backends::watch(const std::function<void()>& changed) const {
    std::vector<std::unique_ptr<Watch>> all;
    for (const auto& backend : backends_)
        if (auto watch = backend->watch(changed)) all.push_back(std::move(watch));
    return all;
}

Result<std::unique_ptr<Target>> Backends::attach(std::string_view uri, const Progress& progress) const {
    const std::size_t colon = uri.find(':');
    const std::string_view scheme = uri.substr(0, colon);
    const std::string_view rest = colon == std::string_view::npos ? "" : uri.substr(colon + 1);
    std::string known;
    Backend* traces = nullptr;
    for (const auto& backend : backends_) {
        if (backend->scheme() == scheme) return backend->attach_among(*this, rest, progress);
        // After all schemes: a path may have a colon in it.
        if (backend->scheme() == kTraceScheme) traces = backend.get();
        known += fmt::format("{}{}:", known.empty() ? "" : ", ", backend->scheme());
    }
    if (traces && uri.ends_with(kTraceSuffix)) return traces->attach_among(*this, uri, progress);
    return fail(
        fmt::format("'{}' is not a target.", uri),
        fmt::format("A target begins with one of {}. List those that there are with: vmxscopectl targets.", known));
}

}  // namespace vmxscope::core
