// An Assembler to feed with hand-made records, as KvmTarget feeds it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "plugins/kvm/assembler.h"
#include "records.h"

namespace vmxscope::kvm {

using nested::Evidence;
using nested::Kind;
using nested::Transition;
using vmx::Field;
using vmx::Value;
using Fields = std::map<Field, Value>;
using State = std::map<StateMember, std::uint64_t>;

inline constexpr std::uint64_t kPae = 0x20, kPagingOn = 0x80000011, kLongModeGuest = 0x200;

/// An Assembler fed as KvmTarget does it: what it completes is numbered at once.
class Feed {
  public:
    explicit Feed(bool evidence_complete = true)
        : assembler({true, true, true, false}, {nested::EvidenceScope::Pdptrs, evidence_complete ? "" : "nested_vmx_run could not be probed."}) {}

    /// Returns how many transitions the record completed.
    std::size_t operator()(const Record& r) {
        auto done = assembler.take(sample_of(r));
        for (Transition& t : done) {
            assembler.number(t, ++seq_);
            out.push_back(std::move(t));
        }
        return done.size();
    }
    void op(const std::string& at, std::uint64_t lost = 0) {
        Evidence e;
        e.encoding = static_cast<std::uint16_t>(Field::GUEST_PDPTR0);
        e.at = at;
        assembler.take(e, lost);
    }
    std::vector<Kind> kinds() const {
        std::vector<Kind> k;
        for (const Transition& t : out) k.push_back(t.kind);
        return k;
    }

    Assembler assembler;
    std::vector<Transition> out;

  private:
    std::uint64_t seq_ = 0;
};

inline Record at(Role role, bool level2, Fields vmcs = {}) { return {.role = role, .level2 = level2, .vmcs = std::move(vmcs)}; }
inline Fields cr3(std::uint64_t v) { return {{Field::GUEST_CR3, Value::of(v)}}; }

/// L1's VMLAUNCH up to the return of nested_vmx_run, with vmcs02's CR3 as `before`, then `after`.
inline void enter(Feed& feed, std::uint64_t before = 1, std::uint64_t after = 2) {
    feed(at(Role::VmlaunchBegin, false));
    feed(at(Role::NestedEntryBegin, false));
    feed(at(Role::Vmcs02Loaded, true, cr3(before)));
    feed(at(Role::NestedEntryEnd, true, cr3(after)));
    feed(at(Role::VmlaunchEnd, true));
}

inline std::vector<std::string> places(const Transition& t) {
    std::vector<std::string> out;
    for (const Evidence& e : t.evidence) out.push_back(e.at);
    return out;
}
using Places = std::vector<std::string>;

inline bool incomplete(const Transition& t) {
    for (const std::string& note : t.notes)
        if (note.starts_with(nested::kEvidenceIncomplete)) return true;
    return false;
}

}  // namespace vmxscope::kvm
