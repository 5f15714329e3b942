#include "ui/transition_list_view.h"

#include <QHeaderView>
#include <QTableView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"

namespace vmxscope::ui {

namespace {

constexpr int kNarrowest = 240;  // pixels: number, kind and verdict

}  // namespace

TransitionListView::TransitionListView(TransitionListModel* list, QWidget* parent)
    : QWidget(parent), list_(list), filter_(new FilterBar(this)), view_(new QTableView(this)) {
    using T = TransitionListModel;
    view_->setModel(list_);
    view_->setItemDelegate(new CellDelegate(view_));
    view_->setShowGrid(false);
    view_->setWordWrap(false);
    view_->setTabKeyNavigation(false);
    view_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    view_->setSelectionBehavior(QAbstractItemView::SelectRows);
    view_->setSelectionMode(QAbstractItemView::SingleSelection);
    view_->setAccessibleName(QStringLiteral("Transitions"));
    const QFontMetrics metrics(view_->font());
    auto* rows = view_->verticalHeader();
    rows->hide();
    rows->setSectionResizeMode(QHeaderView::Fixed);  // no row is looked at for its height: there may be millions
    rows->setMinimumSectionSize(1);
    rows->setDefaultSectionSize(metrics.height() + 6);
    auto* header = view_->horizontalHeader();
    header->setMinimumSectionSize(20);
    header->setStretchLastSection(true);
    header->setHighlightSections(false);
    header->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    const auto width = [&](const char* widest) { return metrics.horizontalAdvance(QString::fromUtf8(widest)) + 16; };
    fit_numbers(9'999);
    header->resizeSection(T::Vcpu, width("vCPU"));
    header->resizeSection(T::Kind, width("nested-entry"));
    header->resizeSection(T::Pdptr, width("◆▨ from-me"));
    header->resizeSection(T::Reason, header->minimumSectionSize());  // it gets what is left
    view_->setColumnHidden(T::Levels, true);  // the kind's name says it; it is in the heading and can be shown
    show_vcpu_column(false);

    setFocusProxy(view_);
    setMinimumWidth(kNarrowest);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 0, 4);
    layout->setSpacing(6);
    layout->addWidget(filter_);
    layout->addWidget(view_);
    connect(view_->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this](const QModelIndex& now) {
        if (!selecting_ && now.isValid()) emit picked(list_->seq_at(now.row()));
    });
}

void TransitionListView::select(quint64 seq) {
    const int row = list_->row_of(seq);
    selecting_ = true;
    if (row >= 0) {
        const QModelIndex at = list_->index(row, 0);
        view_->setCurrentIndex(at);
        view_->scrollTo(at);
    } else {
        view_->selectionModel()->clear();
    }
    selecting_ = false;
}

void TransitionListView::fit_numbers(quint64 last) {
    const QString widest = QStringLiteral("⋮ ") + QString(QString::number(last).size(), QLatin1Char('8'));
    view_->horizontalHeader()->resizeSection(TransitionListModel::Seq, fontMetrics().horizontalAdvance(widest) + 16);
}

void TransitionListView::show_vcpu_column(bool on) {
    view_->setColumnHidden(TransitionListModel::Vcpu, !on);
}

}  // namespace vmxscope::ui
