// Every finding of the session: a click goes there, and a report of one can be saved.
#pragma once

#include <QWidget>

#include "ui/findings_model.h"

class QLabel;
class QPushButton;
class QTreeView;

namespace vmxscope::ui {

class FindingsPanel : public QWidget {
    Q_OBJECT

  public:
    explicit FindingsPanel(QWidget* parent = nullptr);

    FindingsModel& model() { return model_; }
    /// What stands above the list.
    QString summary() const;

  signals:
    void picked(const vmxscope::ui::TransitionPtr& transition, vmxscope::vmx::Field field);
    void save_asked(const vmxscope::ui::TransitionPtr& transition, const vmxscope::nested::Finding& finding);

  private:
    void update_summary();

    FindingsModel model_;
    QLabel* summary_;
    QTreeView* list_;
    QPushButton* save_;
};

}  // namespace vmxscope::ui
