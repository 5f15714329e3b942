// Of a field's values: when they changed, who changed them, and what differs between two moments.
#include <algorithm>

#include <fmt/format.h>

#include "core/query/evaluator.h"
#include "core/query/names.h"
#include "core/timeline_stretch.h"
#include "nested/changes.h"
#include "nested/flow.h"
#include "nested/flow_rule.h"
#include "vmx/saved_state.h"

namespace vmxscope::core {
namespace {

using nested::Evidence;
using nested::Kind;
using nested::Origin;
using nested::Transition;
using trace::Digest;
using vmx::Value;

/// What of a transition the next one's changes are told from.
struct Moment {
    Value value;   // the newest that is known
    Value beside;  // the field's value in vmcs02
    std::optional<std::uint64_t> vmptr;
    std::optional<bool> lazy;  // need_sync_vmcs02_to_vmcs12_rare
    std::optional<Kind> kind;
};

/// The last of KVM's accesses of that kind to vmcs02's field that had this value: "prepare_vmcs02_rare+0x4a0", or "".
std::string seen_at(const Transition& t, Evidence::Op op, vmx::Field field, const Value& value) {
    const auto found = std::find_if(t.evidence.rbegin(), t.evidence.rend(), [&](const Evidence& e) {
        return e.op == op && e.vmcs02 && e.value == value && static_cast<vmx::Field>(e.encoding) == field;
    });
    return found == t.evidence.rend() ? "" : found->at;
}

std::string with_place(std::string_view what, const std::string& at) {
    return at.empty() ? std::string(what) : fmt::format("{}, at {}", what, at);
}

/// Who changed vmcs12's field, from what `before` tells to what is in `t`.
std::string who_changed_vmcs12(const Transition& t, vmx::Field field, const Value& now, bool within,
                               const Moment& before) {
    if (before.vmptr && t.context.current_vmptr && *before.vmptr != *t.context.current_vmptr)
        return "nobody: another vmcs12 is current";
    const auto& rule = nested::flow_rules()[*vmx::index_of(field)];
    if (rule.exit == nested::ExitClass::Lazy && t.kind != Kind::NestedExit && before.lazy == true &&
        t.context.need_sync_vmcs02_to_vmcs12_rare == false && before.beside == now)
        return "saved from vmcs02 late, as L1 looked";
    if (t.kind == Kind::NestedExit && within) {
        const Origin origin = nested::flow_of(t)[field].vmcs12;
        if (origin == Origin::L1Wrote || origin == Origin::Lazy || origin == Origin::Stale || origin == Origin::Unknown)
            return "KVM, at the nested exit";
        return with_place(name_of(origin), seen_at(t, Evidence::Op::Vmread, field, now));
    }
    if (within && (t.kind == Kind::NestedEntry || t.kind == Kind::NestedEntryFailed)) return "KVM, at the nested entry";
    if (t.kind == Kind::L1Entry && before.kind == Kind::NestedExit) return "KVM, after the nested exit";
    // L1 runs, or KVM does for it what it has trapped into, until the nested entry; then L2.
    const bool l2 = t.kind == Kind::L2Entry || t.kind == Kind::L2Exit || t.kind == Kind::NestedExit;
    return std::string(l2 ? "KVM, while L2 ran" : name_of(Origin::L1Wrote));
}

std::string who_changed_vmcs02(const Transition& t, vmx::Field field, const Value& now, bool within) {
    const std::string written = seen_at(t, Evidence::Op::Vmwrite, field, now);
    const Origin origin = nested::flow_of(t)[field].vmcs02;
    if (t.kind == Kind::NestedEntry && within && origin != Origin::CpuSaved && origin != Origin::Stale)
        return with_place(name_of(origin), written);
    if (!written.empty()) return with_place("KVM", written);
    // The processor saves at the exit; what is found changed before the next one began was saved at the last one.
    if (origin == Origin::CpuSaved) return std::string(name_of(origin));
    return "KVM, not seen where";
}

class Historian {
  public:
    Historian(const Timeline& line, Which vmcs, vmx::Field field, std::uint32_t vcpu)
        : line_(line), vmcs_(vmcs), field_(field), vcpu_(vcpu) {}

    /// The changes of a stretch, oldest first, up to `last`. A transition that cannot be read is passed over: the
    /// timeline tells of it.
    Result<std::vector<FieldChange>> changes(const Stretch& stretch, std::uint64_t last) {
        std::vector<FieldChange> found;
        if (!line_.may_change(stretch.front().seq, field_)) return found;
        auto before = moment_before(stretch.front().seq);
        if (!before) return tl::unexpected(before.error());
        before_ = *before;
        std::uint64_t newest = stretch.front().seq - 1;
        for (const Digest& d : stretch) {
            if (d.seq > last) break;
            gap_ |= d.lost_before > 0 || d.seq != newest + 1;
            newest = d.seq;
            if (d.vcpu != vcpu_) continue;
            if (const auto t = line_.transition(d.seq)) take(*t, found);
        }
        return found;
    }

  private:
    /// As the newest transition of the vCPU before `seq` left it.
    Result<Moment> moment_before(std::uint64_t seq) {
        gap_ = false;
        const auto at = step_from(line_, seq, StepKind::Transition, Way::Back, vcpu_);
        if (!at) return tl::unexpected(at.error());
        const auto t = *at ? line_.transition(**at) : fail("");
        return t ? moment(*t, {}) : Moment{};
    }

    Moment moment(const Transition& t, const Moment& older) const {
        const Value& after = vmcs_ == Which::Vmcs12 ? t.vmcs12_after[field_] : t.vmcs02_after[field_];
        const Value& start = vmcs_ == Which::Vmcs12 ? t.vmcs12_before[field_] : t.vmcs02_before[field_];
        return {after.known()   ? after
                : start.known() ? start
                                : older.value,
                t.vmcs02_after[field_], t.context.current_vmptr ? t.context.current_vmptr : older.vmptr,
                t.context.need_sync_vmcs02_to_vmcs12_rare, t.kind};
    }

    void take(const Transition& t, std::vector<FieldChange>& found) {
        const bool v12 = vmcs_ == Which::Vmcs12;
        const Value& start = v12 ? t.vmcs12_before[field_] : t.vmcs02_before[field_];
        const Value& end = v12 ? t.vmcs12_after[field_] : t.vmcs02_after[field_];
        const Value& held = before_.value;
        if (nested::differs(held, start)) found.push_back({t.seq, t.vcpu, t.kind, held, start, who(t, start, false)});
        const Value& from = start.known() ? start : held;
        if (nested::differs(from, end)) found.push_back({t.seq, t.vcpu, t.kind, from, end, who(t, end, start.known())});
        before_ = moment(t, before_);
        gap_ = false;
    }

    std::string who(const Transition& t, const Value& now, bool within) const {
        if (gap_ && !within) return "not seen: transitions are missing before this one";
        return vmcs_ == Which::Vmcs12 ? who_changed_vmcs12(t, field_, now, within, before_)
                                      : who_changed_vmcs02(t, field_, now, within);
    }

    const Timeline& line_;
    Which vmcs_;
    vmx::Field field_;
    std::uint32_t vcpu_;
    Moment before_;
    bool gap_ = false;  // something is missing since `before_`
};

/// The changes before `end`, newest first, until `each` says false.
Result<void> changes_back(const Timeline& line, Historian& historian, std::uint64_t end, const Searching& searching,
                          const std::function<bool(FieldChange&)>& each) {
    const auto done = each_stretch(line, end, Way::Back, searching,
                                   [&](const Stretch& stretch) -> Result<std::optional<std::uint64_t>> {
                                       auto found = historian.changes(stretch, end - 1);
                                       if (!found) return tl::unexpected(found.error());
                                       for (auto c = found->rbegin(); c != found->rend(); ++c)
                                           if (!each(*c)) return std::optional(c->seq);
                                       return std::nullopt;
                                   });
    if (!done) return tl::unexpected(done.error());
    return {};
}

/// Not of how the transition was recorded, and no order or time: those always differ.
bool of_a_state(const query::Name& name) {
    if (name.source.digests) return name.type == query::Type::Word || name.type == query::Type::Truth;
    return name.source.whole && name.name != "vmcs02_as_of" && name.name != "evidence" && name.name != "notes";
}

Value value(const query::Name& name, const Digest& digest, const query::Whole& whole) {
    query::Cell cell;
    if (name.source.digests) {
        query::Lane lane;
        name.source.digests(lane, {&digest, 1});
        cell = {lane.bits[0], lane.known[0] != 0};
    } else {
        cell = name.source.whole(whole, name.parameter);
    }
    return cell.known ? Value::of(cell.bits) : Value{};
}

}  // namespace

Result<std::vector<FieldChange>> field_history(const Timeline& line, Which vmcs, vmx::Field field, std::uint32_t vcpu,
                                               std::uint64_t up_to, std::size_t most, const Searching& searching) {
    std::vector<FieldChange> all;
    if (most == 0 || !vmx::index_of(field)) return all;
    Historian historian(line, vmcs, field, vcpu);
    const std::uint64_t end = std::min(up_to, line.last()) + 1;
    const auto done = changes_back(line, historian, end, searching, [&](FieldChange& change) {
        all.push_back(std::move(change));
        return all.size() < most;
    });
    if (!done) return tl::unexpected(done.error());
    std::ranges::reverse(all);
    return all;
}

Result<std::optional<FieldChange>> last_change(const Timeline& line, Which vmcs, vmx::Field field, std::uint32_t vcpu,
                                               std::uint64_t from, bool entries_only, const Searching& searching) {
    std::optional<FieldChange> found;
    if (!vmx::index_of(field)) return found;
    Historian historian(line, vmcs, field, vcpu);
    Result<void> looked;
    const auto done = changes_back(line, historian, std::min(from, line.last() + 1), searching, [&](FieldChange& c) {
        if (entries_only && vmcs == Which::Vmcs02 && c.kind != Kind::NestedEntry) return true;
        if (entries_only && vmcs == Which::Vmcs12) {
            // What changed vmcs12 in between came into force with the next entry.
            const auto entry = step_from(line, c.seq - 1, StepKind::Entry, Way::Forth, vcpu);
            if (!entry) {
                looked = tl::unexpected(entry.error());
                return false;
            }
            if (!*entry || **entry >= from) return true;
            c.seq = **entry;
            if (const auto t = line.transition(c.seq)) c.kind = t->kind;
        }
        found = std::move(c);
        return false;
    });
    if (!done) return tl::unexpected(done.error());
    if (!looked) return tl::unexpected(looked.error());
    return found;
}

std::vector<Difference> differences(const Transition& a, const Transition& b) {
    std::vector<Difference> all;
    const auto add = [&all](std::string name, const Value& x, const Value& y) {
        if (nested::differs(x, y)) all.push_back({std::move(name), x, y});
    };
    const query::Whole whole_a(a), whole_b(b);
    const Digest digest_a = trace::digest_of(a), digest_b = trace::digest_of(b);
    for (const query::Name& name : query::all_names())
        if (of_a_state(name))
            add(std::string(name.name), value(name, digest_a, whole_a), value(name, digest_b, whole_b));
    const struct {
        std::string_view name;
        const vmx::VmcsImage &a, &b;
    } images[] = {{"vmcs12", a.vmcs12_after, b.vmcs12_after},
                  {"vmcs02", a.vmcs02_after, b.vmcs02_after},
                  {"vmcs01", a.vmcs01, b.vmcs01}};
    for (const auto& image : images)
        for (std::size_t i = 0; i < vmx::kFieldCount; ++i)
            add(fmt::format("{}.{}", image.name, vmx::all_fields()[i].name), image.a.at_index(i), image.b.at_index(i));
    return all;
}

}  // namespace vmxscope::core
