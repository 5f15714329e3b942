#include "ui/transition_list_view.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLineEdit>
#include <QTreeView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"

namespace vmxscope::ui {

namespace {

constexpr int kNarrowest = 240;  // pixels: number, kind and verdict

}  // namespace

TransitionListView::TransitionListView(TransitionListModel* list, QWidget* parent)
    : QWidget(parent),
      list_(list),
      search_(new QLineEdit(this)),
      show_(new QComboBox(this)),
      view_(new QTreeView(this)) {
    using T = TransitionListModel;
    filter_.setSourceModel(list_);
    search_->setPlaceholderText(QStringLiteral("Filter"));
    search_->setClearButtonEnabled(true);
    show_->addItems({QStringLiteral("All"), QStringLiteral("Nested only"), QStringLiteral("Undefined only")});
    show_->setToolTip(QStringLiteral("Which transitions to show"));
    view_->setModel(&filter_);
    view_->setItemDelegate(new CellDelegate(view_));
    view_->setRootIsDecorated(false);
    view_->setUniformRowHeights(true);
    view_->setAllColumnsShowFocus(true);
    view_->setSelectionBehavior(QAbstractItemView::SelectRows);
    view_->setAccessibleName(QStringLiteral("Transitions"));
    auto* header = view_->header();
    header->setMinimumSectionSize(20);
    header->setStretchLastSection(true);
    const QFontMetrics metrics(view_->font());
    const auto width = [&](const char* widest) { return metrics.horizontalAdvance(QString::fromUtf8(widest)) + 16; };
    header->resizeSection(T::Seq, width("⋮ 1234"));
    header->resizeSection(T::Vcpu, width("vCPU"));
    header->resizeSection(T::Kind, width("nested-entry"));
    header->resizeSection(T::Pdptr, width("◆▨ from-me"));
    header->resizeSection(T::Reason, header->minimumSectionSize());  // it gets what is left
    view_->setColumnHidden(T::Levels, true);  // the kind's name says it; it is in the heading and can be shown
    show_vcpu_column(false);

    setFocusProxy(view_);
    setMinimumWidth(kNarrowest);

    auto* line = new QHBoxLayout;
    line->addWidget(search_, 1);
    line->addWidget(show_);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 0, 4);
    layout->setSpacing(6);
    layout->addLayout(line);
    layout->addWidget(view_);

    connect(search_, &QLineEdit::textChanged, &filter_, &TransitionFilter::set_text);
    connect(show_, &QComboBox::currentIndexChanged, this,
            [this](int at) { filter_.set_show(static_cast<TransitionFilter::Show>(at)); });
    // Older transitions come in late, above the shown one: it must not be pushed out of sight.
    connect(&filter_, &QAbstractItemModel::rowsInserted, view_, [this] {
        if (view_->currentIndex().isValid()) view_->scrollTo(view_->currentIndex());
    });
    connect(view_->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this](const QModelIndex& now) {
        if (!selecting_ && now.isValid()) emit picked(filter_.mapToSource(now).row());
    });
}

void TransitionListView::select_row(int row) {
    const QModelIndex at = row < 0 ? QModelIndex() : filter_.mapFromSource(list_->index(row, 0));
    selecting_ = true;
    if (at.isValid()) {
        view_->setCurrentIndex(at);
        view_->scrollTo(at);
    } else {
        view_->selectionModel()->clear();
    }
    selecting_ = false;
}

int TransitionListView::neighbour(int row, int steps) const {
    if (filter_.rowCount() == 0) return -1;
    const QModelIndex here = row < 0 ? QModelIndex() : filter_.mapFromSource(list_->index(row, 0));
    const int last = filter_.rowCount() - 1;
    const int wanted = here.isValid() ? here.row() + steps : (steps < 0 ? last : 0);
    if (wanted < 0 || wanted > last) return -1;
    return filter_.mapToSource(filter_.index(wanted, 0)).row();
}

void TransitionListView::show_vcpu_column(bool on) {
    view_->setColumnHidden(TransitionListModel::Vcpu, !on);
}

}  // namespace vmxscope::ui
