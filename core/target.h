// The one back-end interface: a nested guest that can be stepped. The agent implements it on /dev/vmxscope, the
// GDB-remote client on a connection, a replay on a trace. Not thread-safe: one thread drives a Target (the GUI gives it
// a thread of its own); nothing in it blocks but wait(), and that for no longer than it is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "nested/transition.h"
#include "vmx/capabilities.h"
#include "vmx/paging.h"

namespace vmxscope::core {

/// How far a vCPU runs before it stops again. Entry and Exit are nested ones (NestedEntryFailed counts as an entry);
/// Nested is either; Transition is the next transition of any kind. Instruction is the next instruction of whatever runs:
/// only of targets with Ability::Instructions, which have no other.
enum class StepKind : std::uint8_t { Transition, Nested, Entry, Exit, Instruction };
inline constexpr StepKind kTransitionSteps[] = {StepKind::Transition, StepKind::Nested, StepKind::Entry, StepKind::Exit};
std::string_view name_of(StepKind k);  // "transition"
std::optional<StepKind> step_kind_by_name(std::string_view name);
bool matches(StepKind step, nested::Kind kind);
int level_after(nested::Kind kind);  // 1 or 2: who runs, or runs next, once that has been crossed

enum class VcpuState : std::uint8_t {
    Held,     // stopped before its next VM-entry (or at an earlier transition not yet shown)
    Running,  // free to run
    Waiting,  // told to stop, not yet at a VM-entry (halted, waiting for SIPI, or in user space)
    Gone,
};
std::string_view name_of(VcpuState s);

struct Vcpu {
    std::uint32_t id = 0;   // KVM's vcpu_id
    std::uint32_t tid = 0;  // host thread
    VcpuState state = VcpuState::Running;
    std::optional<int> level;    // 1 or 2: who runs (or runs next); empty = not seen yet
    std::uint64_t last_seq = 0;  // its newest shown transition, 0 = none yet
};

struct TargetInfo {
    std::string name;    // as the user wrote it: "lab:pae-ept"
    std::string kernel;  // L0's `uname -r`
    std::string cpu;     // L0's processor
    std::uint32_t pid = 0;  // the VMM's process on L0
    std::string agent;   // agent version
    std::string host;    // L0's name on its network
    std::uint64_t tsc_khz = 0;  // of L0's TSC, which transitions are timed with; 0 = not known
    std::vector<std::string> notes;  // probes that could not be placed, and the like
};

struct Stop {
    enum class Why : std::uint8_t {
        Attached,     // held after attach, no transition seen yet
        Transition,   // `seq` is the transition it stopped at
        Interrupted,  // by interrupt(); `seq` is the newest transition of that vCPU (0 = none)
        GuestGone,    // the guest ended; nothing more will come
        End,          // a recording ends, or begins, here: `seq` is its outermost transition. The target can be used on
        Instruction,  // between two instructions, of a target with Ability::Instructions: a step, or a breakpoint. No `seq`
    };
    Why why = Why::Transition;
    std::uint32_t vcpu = 0;
    std::uint64_t seq = 0;
    std::string text;  // for GuestGone and End: what is known of it
};

/// What one vCPU is to do on resume().
struct Action {
    std::optional<std::uint32_t> vcpu;   // empty = every vCPU not named by an earlier Action
    std::optional<StepKind> step;        // empty = run on
};

struct History {
    std::uint64_t first = 0, last = 0;  // seq of the oldest and newest transition still kept; 0,0 = none
    std::uint64_t lost = 0;             // records lost for want of room since attach
};

/// Whose addresses a memory read is in. Linear addresses are translated by the tables of that level's CR3 at the stop.
enum class Space : std::uint8_t { L1Physical, L1Linear, L2Physical, L2Linear };
std::string_view name_of(Space s);  // "l1-phys", "l1-linear", "l2-phys", "l2-linear"
std::optional<Space> space_by_name(std::string_view name);

inline constexpr std::size_t kMostMemory = 64u << 10;  // bytes of one read_memory()

/// What the processor's VMX can do, and what KVM lets L1 believe of it.
struct TargetCapabilities {
    vmx::Capabilities l0;  // the processor's
    vmx::Capabilities l1;  // nested.msrs of the guest: what vmcs12 is checked against
};

/// What a target can do besides being stepped. What it cannot, its calls refuse with a sentence.
enum class Ability : std::uint8_t {
    Transitions,   // its stops are transitions, with both VMCSs (else Instructions)
    Back,          // resume_back(), go_to()
    Record,        // record()
    Evidence,      // set_evidence()
    Capabilities,  // capabilities()
    Memory,        // read_memory()
    Looking,       // msr_bitmap(), ept02_walk()
    NonStop,       // set_non_stop()
    Write,         // write_memory(), write_field(); and whoever started it allowed that
    Instructions,  // StepKind::Instruction, registers()
    Breakpoints,   // insert_breakpoint(), remove_breakpoint(): KVM or an emulator stops before the instruction
};
inline constexpr std::size_t kAbilities = 11;
std::string_view name_of(Ability a);  // "transitions"
std::optional<Ability> ability_by_name(std::string_view name);

/// A set of them.
class Abilities {
  public:
    constexpr Abilities() = default;
    constexpr Abilities(std::initializer_list<Ability> some) {
        for (const Ability a : some) bits_ |= bit(a);
    }
    constexpr bool has(Ability a) const { return bits_ & bit(a); }
    constexpr bool within(Abilities of) const { return (bits_ & ~of.bits_) == 0; }
    constexpr Abilities with(Ability a) const { return from(bits_ | bit(a)); }
    constexpr Abilities without(Abilities some) const { return from(bits_ & ~some.bits_); }
    constexpr bool operator==(const Abilities&) const = default;

  private:
    static constexpr std::uint32_t bit(Ability a) { return 1u << static_cast<unsigned>(a); }
    static constexpr Abilities from(std::uint32_t bits) {
        Abilities all;
        all.bits_ = bits;
        return all;
    }
    std::uint32_t bits_ = 0;
};

/// A general register of a vCPU: gdb's name ("rip", "cs", "xmm0") and its bytes in the target's order; none: not available.
struct RegisterBytes {
    std::string name;
    std::vector<std::byte> bytes;
};

/// One write into a guest: what stood there, and what was read back afterwards. All of a session's are its ledger.
struct Write {
    std::uint64_t number = 0;      // 1, 2, …
    std::uint64_t unix_time = 0;   // seconds
    std::uint32_t vcpu = 0;
    std::uint64_t seq = 0;         // of the transition that it stood at
    std::string what;              // "vmcs02 GUEST_CR3", "l2-linear 0x401000"
    std::vector<std::byte> before, wanted, after;  // little-endian for fields; `after` as read back
    bool operator==(const Write&) const = default;
};

/// Whose field is written: L1's own, as KVM keeps it in memory, or the one that the processor runs L2 on.
enum class WrittenVmcs : std::uint8_t { Vmcs12, Vmcs02 };
std::string_view name_of(WrittenVmcs v);  // "vmcs12", "vmcs02"
std::optional<WrittenVmcs> written_vmcs_by_name(std::string_view name);

inline constexpr std::size_t kMostWritten = 4096;  // bytes of one write_memory()

/// How a guest that is not stopped is watched while it is recorded.
struct RecordSettings {
    bool all_fields = true;  // false: of both VMCSs only what a PDPTR verdict is made from
    nested::EvidenceScope evidence = nested::EvidenceScope::None;  // any but None costs what stepping's watching costs
    bool lossless = false;   // vCPUs wait at their next VM-entry while the agent cannot keep up
};

class Target {
  public:
    virtual ~Target() = default;

    virtual const TargetInfo& info() const = 0;
    virtual Abilities abilities() const = 0;
    bool can(Ability a) const { return abilities().has(a); }
    virtual Result<std::vector<Vcpu>> vcpus() = 0;

    /// Lets vCPUs go, as told; a vCPU that no Action names stays held. All-stop: when one stops, all are stopped.
    virtual Result<void> resume(const std::vector<Action>& actions) = 0;
    /// The next stop, or empty after `limit`. After attach the first wait() gives Stop::Why::Attached (or Transition).
    virtual Result<std::optional<Stop>> wait(std::chrono::milliseconds limit) = 0;
    /// Asks every vCPU to stop at its next crossing; wait() then reports it.
    virtual Result<void> interrupt() = 0;

    virtual Result<History> history() = 0;
    virtual Result<nested::Transition> transition(std::uint64_t seq) = 0;

    /// A block (core/trace/block.h) with the oldest transition that is kept from `from` on, which may begin before it; no bytes:
    /// there is none yet. Also while vCPUs run. By default made from transition().
    virtual Result<std::vector<std::byte>> past(std::uint64_t from);

    // What not every target can do; by default an Error that says so.

    /// Lets it go back, which a recording can: to the next transition of that kind before the one where it is, of one vCPU or
    /// of any; without a kind, to the beginning. wait() then reports it.
    virtual Result<void> resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu);
    /// Of the same targets: to the transition of that number. wait() then reports it.
    virtual Result<void> go_to(std::uint64_t seq);

    /// To be called while held: from the next resume() to the next stop vCPUs are watched as a recording wants it, cheaply.
    virtual Result<void> record(const RecordSettings& settings);

    /// Watches more or fewer of KVM's VMREADs and VMWRITEs from the next transition on. All of them slow the guest down.
    virtual Result<void> set_evidence(nested::EvidenceScope scope);
    virtual Result<TargetCapabilities> capabilities();
    /// `size` bytes (at most kMostMemory) as the vCPU, held, sees them. Fails, naming the address, where any of them is not
    /// mapped. Nothing is written, no accessed bit set.
    virtual Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                                       std::size_t size);
    /// The 4 KiB of an MSR bitmap that the processor itself looks at (SDM Vol. 3C 25.6.9): L0's for L1, or the one that L0
    /// merged for L2. (L1's for L2 is in L1's memory: MSR_BITMAP of vmcs12.)
    enum class HardwareVmcs : std::uint8_t { Vmcs01, Vmcs02 };
    virtual Result<std::vector<std::byte>> msr_bitmap(std::uint32_t vcpu, HardwareVmcs which);
    /// The entries of L0's own EPT for L2 (EPT02: vmcs02's EPT_POINTER) that translate `l2_physical`, from the root down
    /// to the first that is not present or is a leaf. Addresses in the steps are L0's physical ones.
    virtual Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical);

    /// Non-stop: a vCPU that stops lets the others run on, interrupt_one() stops one, and wait() gives one stop after the
    /// other. To be called while all are held; off, it stops all again.
    virtual Result<void> set_non_stop(bool on);
    virtual Result<void> interrupt_one(std::uint32_t vcpu);

    /// Writes at a stop, into the guest of a vCPU that is held, reads back, and keeps it in the ledger, whatever came of it.
    /// Fails where the target was not started with writing allowed, and where what is read back is not what was wanted.
    virtual Result<void> write_memory(std::uint32_t vcpu, Space space, std::uint64_t address, const std::vector<std::byte>& bytes);
    virtual Result<void> write_field(std::uint32_t vcpu, WrittenVmcs which, vmx::Field field, std::uint64_t value);
    virtual Result<std::vector<Write>> ledger();

    /// The general registers of a vCPU that is held. (With Ability::Transitions they are in its transition.)
    virtual Result<std::vector<RegisterBytes>> registers(std::uint32_t vcpu);

    /// Stops any vCPU before the instruction at this linear address, whoever runs there.
    virtual Result<void> insert_breakpoint(std::uint64_t address);
    virtual Result<void> remove_breakpoint(std::uint64_t address);

    /// Everything runs on and the target is left. Also what the destructor does.
    virtual Result<void> detach() = 0;
};

/// Told of slow work: the present step in words ("starting the lab's kernel"), and how far it is (0…1, or <0 = unknown).
/// Returning false asks for the work to be given up.
using Progress = std::function<bool(std::string_view step, double fraction)>;

/// A target that could be attached to, for lists.
struct TargetName {
    std::string uri;      // "lab:pae-ept", "kvm:1234", "tcp:127.0.0.1:4000", "unix:/run/vmxscope/agent.sock"
    std::string summary;  // one line
    bool available = true;
    std::string why_not;  // when not available: the sentence
    bool operator==(const TargetName&) const = default;
};

/// Something that goes on until it is destroyed.
class Watch {
  public:
    virtual ~Watch() = default;
};

class Backends;

/// One family of targets, by URI scheme. Plugins register these in the app's mains. list() and watch() may be called from
/// any thread, also while another is in attach().
class Backend {
  public:
    virtual ~Backend() = default;
    virtual std::string_view scheme() const = 0;  // "lab"
    virtual std::vector<TargetName> list() = 0;   // quick: no waiting on networks
    /// Calls `changed`, from a thread of its own, whenever list() may give something else than before. Destroying the Watch
    /// waits for a call that is under way, so it is not to be done in one. None: it is not told; list() is to be asked again.
    virtual std::unique_ptr<Watch> watch(std::function<void()> changed);
    /// Blocks with progress; `rest` is what follows "scheme:".
    virtual Result<std::unique_ptr<Target>> attach(std::string_view rest, const Progress& progress) = 0;
    /// The same for a target that another family attaches to ("libvirt:NAME" is some "kvm:PID"): `all` has them all.
    virtual Result<std::unique_ptr<Target>> attach_among(const Backends& all, std::string_view rest, const Progress& progress);
};

/// Trace files are attached to as "trace:FILE", or by a path with this end.
inline constexpr std::string_view kTraceScheme = "trace", kTraceSuffix = ".vxt";

class Backends {
  public:
    void add(std::unique_ptr<Backend> backend);
    std::vector<TargetName> list() const;
    /// Of those that tell when their list changes; what else is listed has to be asked for again (core/target_watcher.h does both).
    std::vector<std::unique_ptr<Watch>> watch(const std::function<void()>& changed) const;
    /// `uri` = "scheme:rest" ("kvm" alone = "kvm:"), or the path of a trace file (.vxt), for "trace:PATH". An unknown scheme
    /// is an Error that names the known ones.
    Result<std::unique_ptr<Target>> attach(std::string_view uri, const Progress& progress) const;

  private:
    std::vector<std::unique_ptr<Backend>> backends_;
};

}  // namespace vmxscope::core
