#include "ui/pdptr_panel.h"

#include <QHeaderView>
#include <QLabel>
#include <QVBoxLayout>

#include "ui/fitted_table.h"
#include "ui/labels.h"
#include "ui/palette.h"
#include "ui/roles.h"
#include "ui/text.h"
#include "ui/verdict_banner.h"
#include "vmx/pdpte.h"

namespace vmxscope::ui {

namespace {

constexpr int kNarrowest = 360;  // pixels: three columns of PDPTRs, and a condition beside its value

/// Why the panel is about another transition than the one that is shown.
QString borrowed_text(const Shown& shown) {
    QString text = QStringLiteral("%1 moves no PDPTRs. This is the newest nested one of vCPU %2 before it: %3.")
                       .arg(headline(*shown.transition))
                       .arg(shown.transition->vcpu)
                       .arg(headline(*shown.lender));
    if (shown.missing)
        text += QStringLiteral(" ⋮ Not kept: %1 between the two.")
                    .arg(counted(shown.missing, QStringLiteral("transition")));
    return text;
}

}  // namespace

PdptrPanel::PdptrPanel(QWidget* parent) : QScrollArea(parent) {
    auto* inside = new QWidget(this);
    auto* layout = new QVBoxLayout(inside);
    layout->setContentsMargins(8, 8, 8, 8);
    layout->setSpacing(6);
    borrowed_ = wrapped_label(inside);
    memory_ = wrapped_label(inside);
    banner_ = new VerdictBanner(inside);
    agree_ = new Tag(inside);
    no_evidence_ = wrapped_label(inside, QStringLiteral("No VMREAD or VMWRITE of these fields was seen."));
    table_ = pdptr_table();
    conditions_table_ = conditions_table();
    evidence_table_ = evidence_table();
    conditions_caption_ = caption_label(inside, QStringLiteral("Conditions, in KVM's order"));
    evidence_caption_ = caption_label(inside);

    layout->addWidget(borrowed_);
    layout->addWidget(banner_);
    layout->addWidget(table_);
    layout->addWidget(memory_);
    layout->addWidget(agree_);
    layout->addWidget(conditions_caption_);
    layout->addWidget(conditions_table_);
    layout->addWidget(evidence_caption_);
    layout->addWidget(no_evidence_);
    layout->addWidget(evidence_table_);
    layout->addStretch(1);
    setWidget(inside);
    setWidgetResizable(true);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setMinimumWidth(kNarrowest);
    setFrameShape(QFrame::NoFrame);
}

FittedTable* PdptrPanel::pdptr_table() {
    auto* table = new FittedTable(&pdptrs_, this);
    table->horizontalHeader()->setSectionResizeMode(QHeaderView::Stretch);
    table->verticalHeader()->setDefaultAlignment(Qt::AlignCenter);
    table->setAccessibleName(QStringLiteral("PDPTRs"));
    return table;
}

FittedTable* PdptrPanel::conditions_table() {
    auto* table = new FittedTable(&conditions_, this);
    table->verticalHeader()->hide();
    table->setColumnHidden(ConditionsModel::Meaning, true);  // it is the second line of the first column
    auto* header = table->horizontalHeader();
    header->setSectionResizeMode(QHeaderView::ResizeToContents);
    header->setSectionResizeMode(ConditionsModel::Name, QHeaderView::Stretch);
    table->setAccessibleName(QStringLiteral("Conditions"));
    return table;
}

FittedTable* PdptrPanel::evidence_table() {
    auto* table = new FittedTable(&evidence_, this);
    table->verticalHeader()->hide();
    auto* header = table->horizontalHeader();
    header->setSectionResizeMode(QHeaderView::ResizeToContents);
    header->setSectionResizeMode(EvidenceModel::At, QHeaderView::Stretch);
    table->setAccessibleName(QStringLiteral("Evidence"));
    return table;
}

void PdptrPanel::show_shown(const ShownPtr& shown) {
    const TransitionPtr transition = shown ? shown->lender : nullptr;
    const std::optional<nested::Verdict> verdict = shown ? shown->lent : std::nullopt;
    const bool borrowed = transition && transition != shown->transition;
    borrowed_->setVisible(borrowed);
    if (borrowed) borrowed_->setText(borrowed_text(*shown));
    banner_->show_verdict(transition, verdict);
    pdptrs_.show(transition, verdict);
    conditions_.show(verdict ? verdict->conditions : std::vector<nested::Condition>{});
    evidence_.show(transition, vmx::kPdptrFields);

    const bool seen = evidence_.rowCount() > 0;
    show_no_memory({});
    agree_->say(!verdict || !verdict->agree ? Mark::Disagree
                : verdict->by_evidence == nested::Did::Unknown || verdict->by_rule == nested::Did::Unknown
                    ? Mark::Unknown
                    : Mark::Agree,
                verdict ? agreement_text(*verdict) : QString());
    evidence_caption_->setText(seen ? QStringLiteral("Evidence: what KVM executed") : QStringLiteral("Evidence"));
    no_evidence_->setVisible(verdict && !seen);
    evidence_table_->setVisible(seen);
    const std::initializer_list<QWidget*> with_verdict = {table_, conditions_caption_, conditions_table_,
                                                          evidence_caption_};
    for (QWidget* widget : with_verdict) widget->setVisible(verdict.has_value());
}

void PdptrPanel::show_memory(const std::array<std::uint64_t, 4>& entries) {
    pdptrs_.set_memory(entries);
    table_->setColumnHidden(PdptrModel::Memory, false);
    // Four columns are narrow; one that says nothing makes room.
    const QVariant cached = pdptrs_.index(0, PdptrModel::Cached).data(StateRole);
    table_->setColumnHidden(PdptrModel::Cached, cached.toInt() != static_cast<int>(vmx::Known::Yes));
    const auto stale = static_cast<quint64>(pdptrs_.stale());
    say(memory_, stale == 0 ? QString()
                            : QStringLiteral("Stale: %1 not what the table in memory holds now.")
                                  .arg(counted(stale, QStringLiteral("value"))));
}

void PdptrPanel::show_no_memory(const QString& why) {
    table_->setColumnHidden(PdptrModel::Memory, true);
    table_->setColumnHidden(PdptrModel::Cached, false);
    say(memory_, why.isEmpty() ? QString() : QStringLiteral("The table in memory was not read. ") + why);
}

void PdptrPanel::recolour() {
    set_text_colour(memory_, colors().muted());
    banner_->recolour();
}

}  // namespace vmxscope::ui
