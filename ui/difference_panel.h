// What is another at two transitions: one that was marked, and the one that is shown.
#pragma once

#include <QWidget>

#include "ui/field_history_model.h"

class QLabel;
class QLineEdit;
class QPushButton;
class QSortFilterProxyModel;
class QTableView;

namespace vmxscope::ui {

class DifferencePanel : public QWidget {
    Q_OBJECT

  public:
    explicit DifferencePanel(QWidget* parent = nullptr);

    void show_shown(const ShownPtr& shown);
    void show_differences(const StateDifferences& differences);
    /// Marks the shown transition.
    void mark();
    void forget();
    quint64 marked() const { return marked_; }
    DifferenceModel& model() { return model_; }
    QString summary() const;
    void recolour();

  signals:
    void asked(quint64 a, quint64 b);
    void picked(quint64 seq);

  protected:
    void showEvent(QShowEvent* event) override;

  private:
    void ask();

    DifferenceModel model_;
    QSortFilterProxyModel* filter_;
    quint64 marked_ = 0, shown_ = 0;
    QLabel* summary_;
    QPushButton *mark_, *back_;
    QLineEdit* search_;
    QTableView* table_;
};

}  // namespace vmxscope::ui
