#include "ui/shown.h"

#include <algorithm>

#include "ui/text.h"
#include "vmx/exit_reason.h"
#include "vmx/meaning.h"

namespace vmxscope::ui {

namespace {

constexpr std::uint64_t kLookBack = 2'000;  // transitions that the past of a shown one is told from

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
    if (shown->verdict) {
        shown->lender = shown->transition;
        shown->lent = shown->verdict;
    }
    return shown;
}

core::Result<void> ShownMaker::walk(const core::Timeline& line, std::uint64_t seq, std::uint32_t vcpu) {
    const bool near = taken_ != 0 && vcpu == vcpu_ && taken_ < seq && seq - taken_ <= kLookBack;
    if (!near) {
        forget();
        vcpu_ = vcpu;
        taken_ = std::max(line.first(), seq > kLookBack ? seq - kLookBack : 1) - 1;
    }
    while (taken_ + 1 < seq) {
        const auto stretch = line.digests_at(taken_ + 1);
        if (!stretch) return tl::unexpected(stretch.error());
        const std::vector<core::trace::Digest> digests(stretch->begin(), stretch->end());
        if (digests.empty() || digests.back().seq <= taken_) break;
        for (const core::trace::Digest& d : digests) {
            if (d.seq <= taken_) continue;
            if (d.seq >= seq) break;
            if (d.seq != taken_ + 1) {
                lineage_ = {};  // nobody knows what happened in the gap
                missing_ += d.seq - taken_ - 1;
            }
            taken_ = d.seq;
            if (d.vcpu != vcpu) continue;
            auto t = line.transition(d.seq);
            if (!t) return tl::unexpected(t.error());
            lineage_.take(*t);
            previous_ = std::make_shared<const nested::Transition>(std::move(*t));
            if (d.has_verdict) {
                lender_ = previous_;
                missing_ = 0;
            }
        }
        if (digests.back().seq >= seq) break;
    }
    return {};
}

core::Result<ShownPtr> ShownMaker::make(const core::Timeline& line, std::uint64_t seq) {
    auto t = line.transition(seq);
    if (!t) return tl::unexpected(t.error());
    // A past that cannot be read is no reason not to show what can.
    if (!walk(line, seq, t->vcpu)) forget();
    if (taken_ != 0 && taken_ + 1 != seq) lineage_ = {};
    const std::uint64_t gap = taken_ == 0 ? 0 : seq - taken_ - 1;
    auto shown = std::make_shared<Shown>(
        *make_shown(std::make_shared<const nested::Transition>(std::move(*t)), previous_, &lineage_));
    if (!shown->verdict && lender_) {
        shown->lender = lender_;
        shown->lent = nested::pdptr_verdict(*lender_);
        shown->missing = missing_ + gap;
    }
    return shown;
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
