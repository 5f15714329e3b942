#include "ui/field_panel.h"

#include <QHeaderView>
#include <QLabel>
#include <QVBoxLayout>

#include "nested/flow_text.h"
#include "ui/badge_strip.h"
#include "ui/cell_delegate.h"
#include "ui/fitted_table.h"
#include "ui/labels.h"
#include "ui/text.h"
#include "ui/verdict_banner.h"

namespace vmxscope::ui {

namespace {

QString width_text(vmx::Field field) {
    if (vmx::width_of(field) == vmx::Width::Natural) return QStringLiteral("natural width");
    return QStringLiteral("%1 bits").arg(vmx::bytes_of(field) * 8);
}

}  // namespace

FieldPanel::FieldPanel(QWidget* parent) : QScrollArea(parent) {
    auto* inside = new QWidget(this);
    layout_ = new QVBoxLayout(inside);
    layout_->setContentsMargins(8, 8, 8, 8);
    layout_->setSpacing(6);
    title_ = caption_label(inside);
    QFont font = title_->font();
    font.setPointSizeF(font.pointSizeF() * 1.2);
    title_->setFont(font);
    title_->setContentsMargins(0, 0, 0, 0);
    about_ = wrapped_label(inside);
    values_ = wrapped_label(inside);
    values_->setFont(CellDelegate::figure_font(values_->font()));
    match_ = new Tag(inside);
    finding_ = new Tag(inside);
    meaningless_ = wrapped_label(inside);
    rule_ = wrapped_label(inside);
    provenance_ = wrapped_label(inside);
    badges_ = new BadgeStrip(inside);
    parts_table_ = table(&parts_, PartsModel::Part, "Merged from");
    parts_table_->setColumnHidden(PartsModel::Says, true);  // it is the second line of the first column
    details_table_ = table(&details_, DetailModel::Name, "Bits");
    details_table_->setColumnHidden(DetailModel::Meaning, true);
    no_details_ = wrapped_label(inside, QStringLiteral("A plain number or address."));
    evidence_caption_ = caption_label(inside);
    evidence_table_ = table(&evidence_, EvidenceModel::At, "Evidence of the field");
    evidence_table_->setColumnHidden(EvidenceModel::FieldName, true);
    for (QWidget* widget : std::initializer_list<QWidget*>{title_, about_, values_, match_, finding_, meaningless_,
                                                           rule_, provenance_, badges_, parts_table_, details_table_,
                                                           no_details_, evidence_caption_, evidence_table_})
        layout_->addWidget(widget);
    layout_->addStretch(1);
    setWidget(inside);
    setWidgetResizable(true);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setFrameShape(QFrame::NoFrame);
    fill(nullptr);
}

FittedTable* FieldPanel::table(QAbstractItemModel* model, int stretch, const char* name) {
    auto* table = new FittedTable(model, this);
    table->verticalHeader()->hide();
    table->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    table->horizontalHeader()->setSectionResizeMode(stretch, QHeaderView::Stretch);
    table->setAccessibleName(QString::fromLatin1(name));
    return table;
}

void FieldPanel::show_shown(const ShownPtr& shown, const core::TargetCapabilities* capabilities) {
    shown_ = shown;
    fill(capabilities);
}

void FieldPanel::show_field(vmx::Field field, const core::TargetCapabilities* capabilities) {
    field_ = field;
    fill(capabilities);
}

void FieldPanel::fill(const core::TargetCapabilities* capabilities) {
    const bool any = shown_ && field_;
    for (QWidget* widget :
         std::initializer_list<QWidget*>{about_, values_, match_, finding_, meaningless_, rule_, provenance_, badges_,
                                         parts_table_, details_table_, no_details_, evidence_caption_, evidence_table_})
        widget->setVisible(any);
    title_->setText(any ? qs(vmx::name_of(*field_)) : QStringLiteral("No field is selected"));
    if (!any) return say(about_, QStringLiteral("Select a row of the table to see all that is known of its field."));
    const std::size_t index = *vmx::index_of(*field_);
    about_->setText(QStringLiteral("%1 · encoding %2 · %3")
                        .arg(qs(vmx::name_of(vmx::all_fields()[index].group)), hex(static_cast<std::uint64_t>(*field_)),
                             width_text(*field_)));
    fill_values(index);
    fill_flow();
    parts_.show(shown_, *field_);
    parts_table_->setVisible(parts_.rowCount() > 0);
    details_.show(shown_, *field_, capabilities);
    details_table_->setVisible(details_.rowCount() > 0);
    details_table_->setColumnHidden(DetailModel::Vmcs12, shown_->only02());
    details_table_->setColumnHidden(DetailModel::Vmcs02, shown_->only12());
    const nested::Transition& t = *shown_->transition;
    const bool known = t.vmcs12_after[*field_].known() || t.vmcs02_after[*field_].known();
    no_details_->setVisible(known && details_.rowCount() == 0);
    recolour();
}

void FieldPanel::fill_values(std::size_t index) {
    const nested::Transition& t = *shown_->transition;
    QStringList lines;
    const auto add = [&](const char* name, const vmx::Value& before, const vmx::Value& after) {
        QString line = QString::fromLatin1(name) + QStringLiteral("  ") + value_text(after);
        if (before.known() && after.known() && before.bits != after.bits)
            line += QStringLiteral("   Δ was ") + hex(before.bits);
        lines << line;
    };
    if (!shown_->only02()) add("vmcs12", t.vmcs12_before.at_index(index), t.vmcs12_after.at_index(index));
    if (!shown_->only12())
        add(shown_->only02() ? "VMCS" : "vmcs02", t.vmcs02_before.at_index(index), t.vmcs02_after.at_index(index));
    values_->setText(lines.join(QLatin1Char('\n')));
    QStringList why;
    for (const auto& [name, text] :
         {std::pair("vmcs12", &shown_->meaningless12[index]), std::pair("vmcs02", &shown_->meaningless02[index])})
        if (!text->empty()) why << QStringLiteral("∅ Says nothing in %1: %2").arg(QLatin1String(name), qs(*text));
    say(meaningless_, why.join(QLatin1Char('\n')));
}

void FieldPanel::fill_flow() {
    const nested::Transition& t = *shown_->transition;
    const nested::Flow& flow = shown_->flow;
    const bool moves = shown_->moves(), dump = shown_->dump.has_value();
    const nested::Match match = flow[*field_].match;
    const QString prediction = moves ? qs(nested::prediction_text(t, flow, *field_)) : QString();
    QStringList findings;
    for (const nested::Finding& f : flow.findings)
        if (f.field == *field_) findings << qs(nested::finding_text(t, flow, f));
    // A finding says what was predicted, too.
    const bool said = match == nested::Match::Differs && !findings.isEmpty();
    match_->say(match == nested::Match::AsPredicted ? Mark::Agree : Mark::Disagree, said ? QString() : prediction);
    finding_->say(Mark::Finding, findings.join(QLatin1Char(' ')));
    say(rule_, dump ? QString() : QStringLiteral("Rule: ") + qs(nested::rule_text(t, flow, *field_)));
    say(provenance_, dump ? QString() : qs(nested::provenance_text(t, flow, *field_)));
    badges_->show_badges(dump ? nullptr : shown_, field_);
    const vmx::Field fields[] = {*field_};
    evidence_.show(dump ? nullptr : shown_->transition, fields);
    const bool seen = evidence_.rowCount() > 0;
    evidence_table_->setVisible(seen);
    evidence_caption_->setVisible(moves);
    evidence_caption_->setText(seen ? QStringLiteral("Evidence: what KVM executed")
                               : t.evidence_scope == nested::EvidenceScope::All
                                   ? QStringLiteral("No VMREAD or VMWRITE of it was seen.")
                                   : QStringLiteral("Evidence: VMREADs and VMWRITEs of this field may not have been "
                                                    "watched (Run menu: Evidence)."));
}

void FieldPanel::recolour() {
    set_text_colour(about_, colors().muted());
    set_text_colour(meaningless_, colors().muted());
    set_text_colour(no_details_, colors().muted());
}

}  // namespace vmxscope::ui
