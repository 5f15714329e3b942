// What the window is about at the moment: one transition with all that is derived from it, or one VMCS out of a file.
#pragma once

#include <QString>
#include <QStringList>
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/import/import.h"
#include "core/timeline.h"
#include "nested/badges.h"
#include "nested/flow.h"
#include "nested/lineage.h"
#include "nested/routing.h"
#include "ui/transition_list_model.h"

namespace vmxscope::ui {

/// Where a VMCS that was not seen but read comes from.
struct DumpSource {
    QString file;   // "dmesg.txt", "the clipboard"
    QString label;  // what the dump calls it; may be empty
    core::VmcsRole role = core::VmcsRole::Hardware;
    std::vector<core::ImportedVmcs::Other> others;
    QStringList warnings;
};

/// Derived once, when it is shown; every panel reads the same.
struct Shown {
    TransitionPtr transition;                // never null; of a dump: nothing but the image, as vmcs12 or as vmcs02
    TransitionPtr previous;                  // the one before it on its vCPU; may be null
    std::optional<nested::Verdict> verdict;  // of the transition itself
    TransitionPtr lender;  // it, or else the newest before it on its vCPU that has a verdict; may be null
    std::optional<nested::Verdict> lent;  // the lender's
    std::uint64_t missing = 0;            // transitions between the two that are not kept
    nested::Flow flow;
    nested::BadgeSet badges;
    std::optional<nested::Routing> routing;
    std::optional<DumpSource> dump;
    /// Why a value says nothing in the VMCS that it is in, by field; empty: it does say something.
    std::array<std::string_view, vmx::kFieldCount> meaningless12, meaningless02;

    /// Fields move between vmcs12 and vmcs02 in it, so there is a rule to compare with.
    bool moves() const { return !dump && nested::direction_of(transition->kind).has_value(); }
    /// KVM or the processor refused the entry.
    bool entry_failed() const;
    /// A dump's VMCS is shown alone, in the column of vmcs12 or of vmcs02.
    bool only12() const { return dump && dump->role != core::VmcsRole::Hardware; }
    bool only02() const { return dump && dump->role == core::VmcsRole::Hardware; }
};
using ShownPtr = std::shared_ptr<const Shown>;

/// `lineage`: the past of the transition's vCPU, or null.
ShownPtr make_shown(TransitionPtr transition, TransitionPtr previous, const nested::Lineage* lineage = nullptr);

/// Makes what is shown out of a past. The next that is shown is most often near: it goes on from there.
class ShownMaker {
  public:
    /// Fails where that transition is not kept, or is damaged.
    core::Result<ShownPtr> make(const core::Timeline& line, std::uint64_t seq);
    /// Another past begins.
    void forget() { *this = {}; }

  private:
    core::Result<void> walk(const core::Timeline& line, std::uint64_t seq, std::uint32_t vcpu);

    std::uint32_t vcpu_ = 0;
    std::uint64_t taken_ = 0;    // the newest that was walked past, of all vCPUs; 0 = none
    std::uint64_t missing_ = 0;  // not kept, since the lender
    nested::Lineage lineage_;
    TransitionPtr previous_, lender_;
};
/// VMCS `at` of a file.
ShownPtr shown_dump(const QString& file, const core::Imported& imported, std::size_t at);

/// Where a value came from, in a word or two for a table's cell: "copied", "stale #12".
QString origin_word(nested::Origin origin, std::uint64_t since);
/// "as predicted ✓", "differs ✗", "–": as a glyph.
QString match_glyph(nested::Match match);

}  // namespace vmxscope::ui
