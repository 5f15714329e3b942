#include "ui/target_picker.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QListView>
#include <QPushButton>
#include <QShowEvent>
#include <QVBoxLayout>
#include <algorithm>

#include "ui/cell_delegate.h"
#include "ui/roles.h"
#include "ui/text.h"

namespace vmxscope::ui {

void TargetListModel::set(const QList<core::TargetName>& targets) {
    const auto wanted = [&](const core::TargetName& old) {
        return std::any_of(targets.begin(), targets.end(), [&](const auto& t) { return t.uri == old.uri; });
    };
    for (int row = static_cast<int>(targets_.size()) - 1; row >= 0; --row)
        if (!wanted(targets_[row])) remove(row, row);
    for (int row = 0; row < targets.size(); ++row) bring(row, targets[row]);
    if (targets_.size() > targets.size()) remove(static_cast<int>(targets.size()), static_cast<int>(targets_.size()) - 1);
}

void TargetListModel::remove(int first, int last) {
    beginRemoveRows({}, first, last);
    targets_.remove(first, last - first + 1);
    endRemoveRows();
}

/// `target` stands in `row` afterwards; rows above are as they will stay.
void TargetListModel::bring(int row, const core::TargetName& target) {
    const auto from = std::find_if(targets_.begin() + row, targets_.end(), [&](const auto& t) { return t.uri == target.uri; });
    const int old = static_cast<int>(from - targets_.begin());
    if (from == targets_.end()) {
        beginInsertRows({}, row, row);
        targets_.insert(row, target);
        endInsertRows();
        return;
    }
    if (old != row) {
        beginMoveRows({}, old, old, {}, row);
        targets_.move(old, row);
        endMoveRows();
    }
    if (targets_[row] == target) return;
    targets_[row] = target;
    emit dataChanged(index(row), index(row));
}

int TargetListModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(targets_.size());
}

QVariant TargetListModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const core::TargetName& target = targets_[index.row()];
    if (role == Qt::DisplayRole) return qs(target.uri);
    const QString why = target.available ? QString() : QStringLiteral("✗ ") + qs(target.why_not);
    if (role == DetailRole) return target.available ? qs(target.summary) : why;
    if (role == Qt::ToolTipRole)
        return target.available ? qs(target.summary) : qs(target.summary) + QLatin1Char('\n') + why;
    if (role == MarkRole) return static_cast<int>(target.available ? Mark::None : Mark::Unknown);
    return {};
}

Qt::ItemFlags TargetListModel::flags(const QModelIndex& index) const {
    if (!index.isValid()) return Qt::NoItemFlags;
    const bool available = targets_[index.row()].available;
    return available ? Qt::ItemIsSelectable | Qt::ItemIsEnabled : Qt::NoItemFlags;
}

TargetPicker::TargetPicker(QWidget* parent)
    : QWidget(parent),
      list_(new QListView(this)),
      nothing_(new QLabel(QStringLiteral("Looking for targets …"), list_->viewport())),
      uri_(new QLineEdit(this)),
      attach_(new QPushButton(QStringLiteral("Attach"), this)) {
    nothing_->setAlignment(Qt::AlignCenter);
    nothing_->setWordWrap(true);
    auto* over = new QVBoxLayout(list_->viewport());
    over->addWidget(nothing_);
    list_->setModel(&model_);
    list_->setItemDelegate(new CellDelegate(list_));
    list_->setResizeMode(QListView::Adjust);
    list_->setAccessibleName(QStringLiteral("Targets"));
    uri_->setPlaceholderText(QStringLiteral("or type one: lab:pae-ept, kvm:PID, libvirt:DOMAIN, tcp:HOST:PORT, unix:PATH"));
    uri_->setAccessibleName(QStringLiteral("Target"));
    attach_->setDefault(true);
    attach_->setEnabled(false);
    auto* line = new QHBoxLayout;
    line->addWidget(uri_, 1);
    line->addWidget(attach_);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(list_, 1);
    layout->addLayout(line);

    connect(list_->selectionModel(), &QItemSelectionModel::currentChanged, this, [this](const QModelIndex& now) {
        if (now.isValid() && !updating_) uri_->setText(now.data().toString());
    });
    connect(list_, &QListView::activated, this, &TargetPicker::ask);
    connect(uri_, &QLineEdit::textChanged, this, [this] { attach_->setEnabled(!uri().isEmpty()); });
    connect(uri_, &QLineEdit::returnPressed, this, &TargetPicker::ask);
    connect(attach_, &QPushButton::clicked, this, &TargetPicker::ask);
}

void TargetPicker::set_targets(const QList<core::TargetName>& targets) {
    const QString chosen = list_->currentIndex().data().toString();
    updating_ = true;
    model_.set(targets);
    // A view goes to the neighbour of a row that goes; nobody chose that.
    if (list_->currentIndex().data().toString() != chosen) {
        list_->clearSelection();
        list_->setCurrentIndex({});
    }
    updating_ = false;
    nothing_->setText(QStringLiteral("No nested guest was found on this machine.\nType a target below."));
    nothing_->setVisible(targets.isEmpty());
}
void TargetPicker::set_uri(const QString& uri) {
    uri_->setText(uri);
}
QString TargetPicker::uri() const {
    return uri_->text().trimmed();
}

void TargetPicker::showEvent(QShowEvent* event) {
    QWidget::showEvent(event);
    if (!event->spontaneous()) emit shown_changed(true);
}
void TargetPicker::hideEvent(QHideEvent* event) {
    QWidget::hideEvent(event);
    if (!event->spontaneous()) emit shown_changed(false);
}

void TargetPicker::ask() {
    if (!uri().isEmpty()) emit attach_asked(uri());
}

}  // namespace vmxscope::ui
