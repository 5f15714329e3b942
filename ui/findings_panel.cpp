#include "ui/findings_panel.h"

#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTreeView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
#include "ui/labels.h"
#include "ui/text.h"

namespace vmxscope::ui {

FindingsPanel::FindingsPanel(QWidget* parent)
    : QWidget(parent),
      summary_(wrapped_label(this)),
      list_(new QTreeView(this)),
      save_(new QPushButton(QStringLiteral("Save report…"), this)) {
    list_->setModel(&model_);
    list_->setItemDelegate(new CellDelegate(list_));
    list_->setRootIsDecorated(false);
    list_->setSelectionBehavior(QAbstractItemView::SelectRows);
    list_->setAllColumnsShowFocus(true);
    list_->setAccessibleName(QStringLiteral("Findings"));
    list_->setColumnHidden(FindingsModel::Sentence, true);  // it is the second line of the field
    list_->header()->setSectionResizeMode(FindingsModel::Seq, QHeaderView::ResizeToContents);
    save_->setToolTip(QStringLiteral("Everything about the selected finding, as a JSON file to send to somebody"));
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 8);
    layout->addWidget(summary_);
    layout->addWidget(list_, 1);
    layout->addWidget(save_, 0, Qt::AlignLeft);
    connect(&model_, &FindingsModel::counts_changed, this, &FindingsPanel::update_summary);
    connect(list_->selectionModel(), &QItemSelectionModel::currentRowChanged, this,
            [this](const QModelIndex& now) { save_->setEnabled(now.isValid()); });
    connect(&model_, &QAbstractItemModel::modelReset, this, [this] { save_->setEnabled(false); });
    // Heights depend on widths: sentences are broken into lines.
    connect(list_->header(), &QHeaderView::sectionResized, list_, &QTreeView::doItemsLayout);
    connect(list_, &QTreeView::clicked, this, [this](const QModelIndex& at) {
        emit picked(model_.transition_at(at.row()), model_.finding_at(at.row()).field);
    });
    connect(list_, &QTreeView::activated, this, [this](const QModelIndex& at) {
        emit picked(model_.transition_at(at.row()), model_.finding_at(at.row()).field);
    });
    connect(save_, &QPushButton::clicked, this, [this] {
        const QModelIndex at = list_->currentIndex();
        if (at.isValid()) emit save_asked(model_.transition_at(at.row()), model_.finding_at(at.row()));
    });
    save_->setEnabled(false);
    update_summary();
}

void FindingsPanel::update_summary() {
    QString text;
    if (model_.examined() == 0)
        text = QStringLiteral("No nested entry or exit has been seen yet.");
    else if (model_.found() == 0)
        text =
            QStringLiteral("✓ Nested entries and exits looked at: %1. In all of them rule, evidence and values agree.")
                .arg(model_.examined());
    else
        text = QStringLiteral(
                   "⚑ %1, in %2 nested entries and exits: rule, evidence or values contradict each other there.")
                   .arg(counted(model_.found(), QStringLiteral("finding")))
                   .arg(model_.examined());
    if (model_.found() > FindingsModel::kMaxKept)
        text += QStringLiteral(" The first %1 are listed.").arg(FindingsModel::kMaxKept);
    summary_->setText(text);
    list_->setVisible(model_.rowCount() > 0);
    save_->setVisible(model_.rowCount() > 0);
    if (auto* box = layout()) box->setAlignment(summary_, model_.rowCount() > 0 ? Qt::Alignment() : Qt::AlignTop);
}

QString FindingsPanel::summary() const {
    return summary_->text();
}

}  // namespace vmxscope::ui
