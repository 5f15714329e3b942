#include "ui/difference_panel.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSortFilterProxyModel>
#include <QTableView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
#include "ui/labels.h"
#include "ui/text.h"

namespace vmxscope::ui {

DifferencePanel::DifferencePanel(QWidget* parent)
    : QWidget(parent),
      filter_(new QSortFilterProxyModel(this)),
      summary_(wrapped_label(this)),
      mark_(new QPushButton(QStringLiteral("Mark this transition"), this)),
      back_(new QPushButton(QStringLiteral("Go to the mark"), this)),
      search_(new QLineEdit(this)),
      table_(new QTableView(this)) {
    filter_->setSourceModel(&model_);
    filter_->setFilterCaseSensitivity(Qt::CaseInsensitive);
    filter_->setFilterKeyColumn(DifferenceModel::Name);
    mark_->setToolTip(QStringLiteral("What is shown from now on is compared with it (Ctrl+M)"));
    search_->setPlaceholderText(QStringLiteral("Find"));
    search_->setClearButtonEnabled(true);
    table_->setModel(filter_);
    table_->setItemDelegate(new CellDelegate(table_));
    table_->setShowGrid(false);
    table_->setWordWrap(false);
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setAccessibleName(QStringLiteral("Differences"));
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 6);
    auto* header = table_->horizontalHeader();
    header->setHighlightSections(false);
    header->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    header->setSectionResizeMode(QHeaderView::Interactive);
    header->resizeSection(DifferenceModel::Name,
                          fontMetrics().horizontalAdvance(QStringLiteral("vmcs12.GUEST_CR0_READ_SHA")));
    header->setStretchLastSection(true);
    auto* buttons = new QHBoxLayout;
    buttons->addWidget(mark_);
    buttons->addWidget(back_);
    buttons->addStretch(1);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 8);
    layout->addLayout(buttons);
    layout->addWidget(summary_);
    layout->addWidget(search_);
    layout->addWidget(table_, 1);
    connect(mark_, &QPushButton::clicked, this, &DifferencePanel::mark);
    connect(back_, &QPushButton::clicked, this, [this] { emit picked(marked_); });
    connect(search_, &QLineEdit::textChanged, filter_, &QSortFilterProxyModel::setFilterFixedString);
    forget();
}

void DifferencePanel::forget() {
    marked_ = shown_ = 0;
    ask();
}

void DifferencePanel::mark() {
    marked_ = shown_;
    ask();
}

void DifferencePanel::show_shown(const ShownPtr& shown) {
    shown_ = shown && !shown->dump ? shown->transition->seq : 0;
    ask();
}

void DifferencePanel::ask() {
    const bool both = marked_ && shown_ && marked_ != shown_;
    mark_->setEnabled(shown_ != 0);
    back_->setEnabled(both);
    if (model_.shown().a != marked_ || model_.shown().b != shown_) model_.show({marked_, shown_, {}, {}});
    if (both && isVisible()) return emit asked(marked_, shown_);
    for (QWidget* widget : {static_cast<QWidget*>(search_), static_cast<QWidget*>(table_)}) widget->setVisible(both);
    if (both) return;
    say(summary_,
        marked_ ? QStringLiteral("#%1 is marked. Show another transition to compare it with this one.").arg(marked_)
                : QStringLiteral("Mark a transition, then show another: what differs is listed here."));
}

void DifferencePanel::showEvent(QShowEvent* event) {
    QWidget::showEvent(event);
    ask();
}

void DifferencePanel::show_differences(const StateDifferences& d) {
    if (d.a != marked_ || d.b != shown_) return;
    model_.show(d);
    search_->setVisible(!d.rows.empty());
    table_->setVisible(!d.rows.empty());
    say(summary_, !d.error.isEmpty() ? d.error
                  : d.rows.empty()   ? QStringLiteral("#%1 and #%2 do not differ.").arg(d.a).arg(d.b)
                                     : QStringLiteral("%1 between #%2 (marked) and #%3.")
                                         .arg(counted(d.rows.size(), QStringLiteral("difference")))
                                         .arg(d.a)
                                         .arg(d.b));
}

QString DifferencePanel::summary() const {
    return summary_->text();
}

void DifferencePanel::recolour() {
    set_text_colour(summary_, colors().muted());
}

}  // namespace vmxscope::ui
