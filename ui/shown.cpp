#include "ui/shown.h"

#include "ui/text.h"
#include "vmx/exit_reason.h"
#include "vmx/meaning.h"

namespace vmxscope::ui {

namespace {

constexpr int kLookBack = 2'000;  // transitions that the past of a shown one is told from

/// The past of row `row`'s vCPU, as far back as nothing is missing in the list.
nested::Lineage lineage_before(const TransitionListModel& list, int row) {
    int from = row;
    while (from > 0 && row - from < kLookBack && list.missing_before(from) == 0 && list.same_connection(from, row))
        --from;
    if (!list.same_connection(from, row)) ++from;
    nested::Lineage lineage;
    for (int at = from; at < row; ++at)
        if (list.at(at)->vcpu == list.at(row)->vcpu) lineage.take(*list.at(at));
    return lineage;
}

void set_meaningless(Shown& shown) {
    const nested::Transition& t = *shown.transition;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const vmx::Field field = vmx::all_fields()[i].field;
        const auto why = [&](const vmx::VmcsImage& image) {
            return image.at_index(i).known() ? vmx::meaningless(field, image).value_or("") : "";
        };
        shown.meaningless12[i] = why(t.vmcs12_after);
        shown.meaningless02[i] = why(t.vmcs02_after);
    }
}

}  // namespace

bool Shown::entry_failed() const {
    const nested::Transition& t = *transition;
    return t.kind == nested::Kind::NestedEntryFailed ||
           (t.exit.reason.known() && vmx::entry_failed(static_cast<std::uint32_t>(t.exit.reason.bits)));
}

ShownPtr make_shown(TransitionPtr transition, TransitionPtr previous, const nested::Lineage* lineage) {
    auto shown = std::make_shared<Shown>();
    shown->verdict = nested::pdptr_verdict(*transition);
    shown->flow = nested::flow_of(*transition, lineage);
    shown->badges = nested::badges_of(*transition, shown->flow);
    shown->routing = nested::routing_of(*transition);
    shown->transition = std::move(transition);
    set_meaningless(*shown);
    shown->previous = std::move(previous);
    return shown;
}

ShownPtr shown_row(const TransitionListModel& list, int row) {
    if (row < 0) return nullptr;
    const nested::Lineage lineage = lineage_before(list, row);
    const int previous = list.previous_row(row);
    return make_shown(list.at(row), previous < 0 ? nullptr : list.at(previous), &lineage);
}

ShownPtr shown_dump(const QString& file, const core::Imported& imported, std::size_t at) {
    const core::ImportedVmcs& vmcs = imported.vmcses[at];
    auto transition = std::make_shared<nested::Transition>();
    const bool hardware = vmcs.role == core::VmcsRole::Hardware;
    (hardware ? transition->vmcs02_after : transition->vmcs12_after) = vmcs.image;
    auto shown = std::make_shared<Shown>();
    shown->transition = transition;
    shown->dump = DumpSource{file, qs(vmcs.label), vmcs.role, vmcs.others, {}};
    set_meaningless(*shown);
    for (const std::string& warning : imported.warnings) shown->dump->warnings << qs(warning);
    return shown;
}

QString origin_word(nested::Origin origin, std::uint64_t since) {
    using enum nested::Origin;
    switch (origin) {
        case Unknown: return QStringLiteral("?");
        case L1Wrote: return QStringLiteral("L1");
        case Copied: return QStringLiteral("copied");
        case Merged: return QStringLiteral("merged");
        case L0Own: return QStringLiteral("L0's own");
        case Translated: return QStringLiteral("translated");
        case FromMemory: return QStringLiteral("memory");
        case FromUserspace: return QStringLiteral("user space");
        case CpuSaved: return QStringLiteral("CPU saved");
        case SavedFromVmcs02: return QStringLiteral("vmcs02");
        case SavedFromVcpu: return QStringLiteral("KVM's copy");
        case Synthesised: return QStringLiteral("made up");
        case Stale: return since ? QStringLiteral("stale #%1").arg(since) : QStringLiteral("stale");
        case Lazy: return QStringLiteral("lazy");
        case InShadow: return QStringLiteral("in shadow");
        case NoSuchField: return QStringLiteral("–");
    }
    return {};
}

QString match_glyph(nested::Match match) {
    switch (match) {
        case nested::Match::NotPredictable: return QStringLiteral("–");
        case nested::Match::AsPredicted: return QStringLiteral("✓");
        case nested::Match::Differs: return QStringLiteral("✗");
    }
    return {};
}

}  // namespace vmxscope::ui
