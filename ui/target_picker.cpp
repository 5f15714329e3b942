#include "ui/target_picker.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QListView>
#include <QPushButton>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
#include "ui/roles.h"
#include "ui/text.h"

namespace vmxscope::ui {

void TargetListModel::set(const QList<core::TargetName>& targets) {
    beginResetModel();
    targets_ = targets;
    endResetModel();
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
    uri_->setPlaceholderText(QStringLiteral("or type one: lab:pae-ept, kvm:PID, tcp:HOST:PORT, unix:PATH"));
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
        if (now.isValid()) uri_->setText(now.data().toString());
    });
    connect(list_, &QListView::activated, this, &TargetPicker::ask);
    connect(uri_, &QLineEdit::textChanged, this, [this] { attach_->setEnabled(!uri().isEmpty()); });
    connect(uri_, &QLineEdit::returnPressed, this, &TargetPicker::ask);
    connect(attach_, &QPushButton::clicked, this, &TargetPicker::ask);
}

void TargetPicker::set_targets(const QList<core::TargetName>& targets) {
    model_.set(targets);
    nothing_->setText(QStringLiteral("No nested guest was found on this machine.\nType a target below."));
    nothing_->setVisible(targets.isEmpty());
}
void TargetPicker::set_uri(const QString& uri) {
    uri_->setText(uri);
}
QString TargetPicker::uri() const {
    return uri_->text().trimmed();
}

void TargetPicker::ask() {
    if (!uri().isEmpty()) emit attach_asked(uri());
}

}  // namespace vmxscope::ui
