#include "ui/fitted_table.h"

#include <QHeaderView>

#include "ui/cell_delegate.h"

namespace vmxscope::ui {

FittedTable::FittedTable(QAbstractItemModel* model, QWidget* parent) : QTableView(parent) {
    setModel(model);
    setItemDelegate(new CellDelegate(this));
    setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    setSelectionMode(QAbstractItemView::NoSelection);
    setFocusPolicy(Qt::NoFocus);
    setWordWrap(true);
    setShowGrid(true);
    // Widths and heights from every row, not only from those that show at the moment.
    for (QHeaderView* header : {horizontalHeader(), verticalHeader()}) header->setResizeContentsPrecision(-1);
    horizontalHeader()->setHighlightSections(false);
    horizontalHeader()->setSectionsClickable(false);
    horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    verticalHeader()->setSectionsClickable(false);
    connect(model, &QAbstractItemModel::modelReset, this, &FittedTable::fit);
    connect(model, &QAbstractItemModel::dataChanged, this, &FittedTable::fit);
    connect(horizontalHeader(), &QHeaderView::sectionResized, this, &FittedTable::fit);
}

void FittedTable::fit() {
    resizeRowsToContents();
    updateGeometry();
}

QSize FittedTable::sizeHint() const {
    return {QTableView::sizeHint().width(),
            horizontalHeader()->sizeHint().height() + verticalHeader()->length() + 2 * frameWidth()};
}

QSize FittedTable::minimumSizeHint() const {
    return {0, sizeHint().height()};
}

void FittedTable::resizeEvent(QResizeEvent* event) {
    QTableView::resizeEvent(event);
    fit();
}

}  // namespace vmxscope::ui
