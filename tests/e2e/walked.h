// One walk through a guest, from its first nested entry on, with every VMREAD and VMWRITE of KVM's watched: what the
// tests of the PDPTRs and of the other fields look at, so that they share a boot and each guest begins only once.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "core/flow_report.h"
#include "nested/flow.h"
#include "nested/flow_text.h"
#include "nested/lineage.h"
#include "walk.h"

namespace vmxscope::e2e {

inline constexpr std::size_t kTransitions = 1000, kNested = 200;  // at least, of each guest

/// Counted by what is wrong with which field at which kind of transition; the first of each with its text.
struct Tally {
    std::size_t seen = 0, nested = 0, complete = 0, lost = 0;
    std::map<std::string, std::pair<std::size_t, std::string>> findings;
    std::set<vmx::Field> predicted, watched;
};

/// What was seen on the way.
struct Walked {
    std::vector<Judged> nested;  // every nested entry and exit, in order
    Tally tally;
};

inline void examine(const nested::Transition& t, const nested::Lineages& lineages, const core::TargetInfo& target,
                    Tally& tally) {
    ++tally.seen;
    tally.lost += t.lost_before != 0;
    if (t.kind != nested::Kind::NestedEntry && t.kind != nested::Kind::NestedExit) return;
    const nested::Flow flow = nested::flow_of(t, lineages.of(t.vcpu));
    ++tally.nested;
    tally.complete += flow.complete;
    for (const vmx::FieldInfo& info : vmx::all_fields()) {
        if (flow[info.field].match != nested::Match::NotPredictable) tally.predicted.insert(info.field);
        if (flow[info.field].seen == true) tally.watched.insert(info.field);
    }
    for (const nested::Finding& f : flow.findings) {
        auto& [count, text] =
            tally.findings[fmt::format("{} {}: {}", name_of(t.kind), vmx::name_of(f.field), name_of(f.what))];
        if (count++ != 0) continue;
        text = core::headline(t) + ": " + finding_text(t, flow, f);
        if (const char* folder = std::getenv("VMXSCOPE_FINDINGS"))
            std::ofstream(fmt::format("{}/{}-{}-{}.json", folder, target.kernel, t.seq, vmx::name_of(f.field)))
                << core::finding_report_json(t, f, target);
    }
}

/// Lets the guest run from stop to stop and takes in all transitions on the way: no more than the agent keeps.
inline Walked walk_all(const std::string& guest, core::StepKind step) {
    Walk walk(lab::running_lab(guest));
    const auto set = walk.target().set_evidence(nested::EvidenceScope::All);
    EXPECT_TRUE(set) << (set ? "" : set.error().text());
    const core::TargetInfo target = walk.target().info();
    Walked out;
    nested::Lineages lineages;
    std::uint64_t next = 1;
    while (out.tally.seen < kTransitions || out.tally.nested < kNested) {
        const std::uint64_t last = walk.go({{std::nullopt, step}}).seq;
        // An L1 that prints a lot exits more often between two stops than the agent keeps transitions.
        if (const auto kept = walk.target().history()) next = std::max(next, kept->first);
        for (; next <= last; ++next) {
            nested::Transition t = walk.at(next);
            // What KVM had done before it was asked for has less evidence.
            if (t.evidence_scope == nested::EvidenceScope::All) examine(t, lineages, target, out.tally);
            lineages.take(t);
            if (t.kind == nested::Kind::NestedEntry || t.kind == nested::Kind::NestedExit)
                out.nested.push_back(Walk::judged(std::move(t)));
        }
    }
    return out;
}

/// The program's one walk through that guest.
inline const Walked& walked(const std::string& guest, core::StepKind step = core::StepKind::Exit) {
    static std::map<std::string, Walked> all;
    auto found = all.find(guest);
    if (found == all.end()) found = all.emplace(guest, walk_all(guest, step)).first;
    return found->second;
}

}  // namespace vmxscope::e2e
