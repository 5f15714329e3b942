// Everything that was seen, to be gone through in time: a trace file, or the past of a session that goes on. Both the
// command line and the window look through it; the cursor is theirs. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/query/query.h"
#include "core/target.h"
#include "core/trace/past.h"
#include "core/trace/trace.h"

namespace vmxscope::core {

class Timeline {
  public:
    virtual ~Timeline() = default;

    virtual const trace::TraceInfo& info() const = 0;
    virtual std::uint64_t first() const = 0;  // seq; 0 = nothing yet
    virtual std::uint64_t last() const = 0;
    virtual Result<nested::Transition> transition(std::uint64_t seq) const = 0;
    /// seq of the newest transition at or before `tsc`; of the first when all are after it.
    virtual std::uint64_t at_tsc(std::uint64_t tsc) const = 0;
    /// Digests of transitions that follow one another, in order: a stretch with `seq` in it, or, where there is none of
    /// that number, the stretch that begins next after it; empty: there is none at or after it. What is damaged is
    /// passed over, and told by gaps(). Valid until the next call.
    virtual Result<std::span<const trace::Digest>> digests_at(std::uint64_t seq) const = 0;
    /// May a transition of that stretch (as digests_at(seq) gives it) change the field? True where it is not known.
    virtual bool may_change(std::uint64_t seq, vmx::Field field) const = 0;
    /// What is missing: cut, damaged, dropped. One sentence each.
    virtual std::vector<std::string> gaps() const = 0;
};

std::unique_ptr<Timeline> timeline_of(trace::Trace trace);
/// Of a session's past, which may grow; `past` must outlive it.
std::unique_ptr<Timeline> timeline_of(const trace::Past& past, const trace::TraceInfo& info);

enum class Way : std::uint8_t { Back, Forth };
/// False asks for the end of a search, which then gives an Error; told how far it is (0…1).
using Searching = std::function<bool(double)>;

/// The next transition that a step of this kind ends at, `from` not counted; empty: there is none.
Result<std::optional<std::uint64_t>> step_from(const Timeline& line, std::uint64_t from, StepKind kind, Way way,
                                               std::optional<std::uint32_t> vcpu = std::nullopt);
/// The next transition that the query holds for, `from` not counted.
Result<std::optional<std::uint64_t>> find_from(const Timeline& line, std::uint64_t from, const query::Query& query,
                                               Way way, const Searching& searching = {});

/// A field's value changed from one transition to the next of its vCPU, or within one.
struct FieldChange {
    std::uint64_t seq = 0;
    std::uint32_t vcpu = 0;
    nested::Kind kind{};
    vmx::Value before, after;
    std::string
        who;  // "L1 wrote it", "KVM, at prepare_vmcs02_rare+0x4a0", "the processor saved it": nested/flow.h's origin
};
enum class Which : std::uint8_t { Vmcs12, Vmcs02 };
/// Every change of a field, oldest first, `most` at most (the newest of them).
Result<std::vector<FieldChange>> field_history(const Timeline& line, Which vmcs, vmx::Field field, std::uint32_t vcpu,
                                               std::uint64_t up_to, std::size_t most, const Searching& searching = {});
/// "The last entry before here that changed X": the newest nested entry (or any transition) before `from` that did. Of
/// vmcs12 an entry is meant that took a change of L1's or KVM's in: its seq and kind, the change's values and who.
Result<std::optional<FieldChange>> last_change(const Timeline& line, Which vmcs, vmx::Field field, std::uint32_t vcpu,
                                               std::uint64_t from, bool entries_only, const Searching& searching = {});

/// A field, register or other member that differs between two transitions' states (after each of them). What is not
/// known differs from nothing.
struct Difference {
    std::string name;  // as a query has it: "vmcs12.GUEST_CR3", "rip", "exit_reason" (a word's value is its number)
    vmx::Value a, b;
};
std::vector<Difference> differences(const nested::Transition& a, const nested::Transition& b);

}  // namespace vmxscope::core
