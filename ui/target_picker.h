// Choosing what to attach to: the targets there are, and a field for any other.
#pragma once

#include <QAbstractListModel>
#include <QList>
#include <QWidget>

#include "core/target.h"

class QLabel;
class QLineEdit;
class QListView;
class QPushButton;

namespace vmxscope::ui {

/// One row a target; DetailRole is its summary, or why it is not available.
class TargetListModel : public QAbstractListModel {
    Q_OBJECT

  public:
    using QAbstractListModel::QAbstractListModel;
    /// Row by row, so that what is selected stays so.
    void set(const QList<core::TargetName>& targets);
    int rowCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    Qt::ItemFlags flags(const QModelIndex& index) const override;

  private:
    void remove(int first, int last);
    void bring(int row, const core::TargetName& target);
    QList<core::TargetName> targets_;
};

class TargetPicker : public QWidget {
    Q_OBJECT

  public:
    explicit TargetPicker(QWidget* parent = nullptr);
    /// What is chosen or typed stays, also when its row goes.
    void set_targets(const QList<core::TargetName>& targets);
    void set_uri(const QString& uri);
    QString uri() const;

  signals:
    void attach_asked(const QString& uri);
    /// While it is visible the list is wanted up to date.
    void shown_changed(bool shown);

  protected:
    void showEvent(QShowEvent* event) override;
    void hideEvent(QHideEvent* event) override;

  private:
    void ask();
    TargetListModel model_;
    bool updating_ = false;
    QListView* list_;
    QLabel* nothing_;  // over the list while it is empty
    QLineEdit* uri_;
    QPushButton* attach_;
};

}  // namespace vmxscope::ui
