#include "ui/history_panel.h"

#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTableView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
#include "ui/labels.h"
#include "ui/roles.h"
#include "ui/text.h"

namespace vmxscope::ui {

HistoryPanel::HistoryPanel(QWidget* parent)
    : QWidget(parent),
      title_(caption_label(this, QStringLiteral("No field is selected"))),
      summary_(wrapped_label(this)),
      last_(new QPushButton(QStringLiteral("Last entry that changed it"), this)),
      table_(new QTableView(this)) {
    using M = FieldHistoryModel;
    last_->setToolTip(
        QStringLiteral("Goes to the newest nested entry before the shown transition that changed the field"));
    last_->setEnabled(false);
    table_->setModel(&model_);
    table_->setItemDelegate(new CellDelegate(table_));
    table_->setShowGrid(false);
    table_->setWordWrap(false);
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setSelectionMode(QAbstractItemView::SingleSelection);
    table_->setAccessibleName(QStringLiteral("Changes of the field"));
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 6);
    auto* header = table_->horizontalHeader();
    header->setHighlightSections(false);
    header->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    header->setStretchLastSection(true);
    const auto width = [&](const char* widest) {
        return fontMetrics().horizontalAdvance(QString::fromUtf8(widest)) + 18;
    };
    header->resizeSection(M::Seq, width("1234567"));
    header->resizeSection(M::Kind, width("nested-entry"));
    header->resizeSection(M::Vmcs, width("vmcs12"));
    header->resizeSection(M::Value, width("0xffffffff8100"));
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 8);
    layout->addWidget(title_);
    layout->addWidget(summary_);
    layout->addWidget(table_, 1);
    layout->addWidget(last_, 0, Qt::AlignLeft);
    say(summary_, QStringLiteral("Select a row of the table to see every change of its field."));
    const auto go = [this](const QModelIndex& at) { emit picked(model_.seq_at(at.row())); };
    connect(table_, &QTableView::doubleClicked, this, go);
    connect(table_, &QTableView::activated, this, go);
    connect(last_, &QPushButton::clicked, this, [this] {
        if (field_ && shown_) emit last_change_asked(*field_, shown_->transition->vcpu, shown_->transition->seq);
    });
    recolour();
}

void HistoryPanel::forget() {
    model_.clear();
    shown_ = nullptr;
    wanted_ = true;
}

void HistoryPanel::outdated() {
    wanted_ = true;
    if (isVisible()) ask();
}

void HistoryPanel::show_field(vmx::Field field) {
    if (field_ == field) return;
    field_ = field;
    title_->setText(qs(vmx::name_of(field)));
    model_.clear();
    say(summary_, QStringLiteral("Looking …"));
    outdated();
}

void HistoryPanel::show_shown(const ShownPtr& shown) {
    const bool another = !shown_ || !shown || shown_->transition->vcpu != shown->transition->vcpu;
    shown_ = shown && !shown->dump ? shown : nullptr;
    last_->setEnabled(shown_ && field_);
    if (another && shown_)
        outdated();
    else
        mark_shown();
}

void HistoryPanel::ask() {
    last_->setEnabled(shown_ && field_);
    if (!field_ || !shown_ || !wanted_) return;
    wanted_ = false;
    emit asked(*field_, shown_->transition->vcpu);
}

void HistoryPanel::showEvent(QShowEvent* event) {
    QWidget::showEvent(event);
    ask();
}

void HistoryPanel::show_changes(const FieldChanges& changes) {
    if (changes.field != field_) return;
    model_.show(changes);
    const auto count = static_cast<quint64>(model_.rowCount());
    QString text = !changes.error.isEmpty() ? changes.error
                   : count == 0             ? QStringLiteral("It never changed.")
                                            : counted(count, QStringLiteral("change"));
    if (count >= TravelWorker::kMostChanges) text += QStringLiteral("; the newest are listed");
    if (shown_ && changes.error.isEmpty() && count > 0)
        text += QStringLiteral(" on vCPU %1. A double click goes there.").arg(shown_->transition->vcpu);
    say(summary_, text);
    mark_shown();
}

void HistoryPanel::mark_shown() {
    const int row = shown_ ? model_.row_at(shown_->transition->seq) : -1;
    if (row < 0) return table_->selectionModel()->clear();
    table_->setCurrentIndex(model_.index(row, 0));
    table_->scrollTo(model_.index(row, 0));
}

QString HistoryPanel::summary() const {
    return summary_->text();
}

void HistoryPanel::recolour() {
    set_text_colour(summary_, colors().muted());
}

}  // namespace vmxscope::ui
