// The selected field through time: every change, and who made it.
#pragma once

#include <QWidget>

#include "ui/field_history_model.h"

class QLabel;
class QPushButton;
class QTableView;

namespace vmxscope::ui {

class HistoryPanel : public QWidget {
    Q_OBJECT

  public:
    explicit HistoryPanel(QWidget* parent = nullptr);

    void show_field(vmx::Field field);
    void show_shown(const ShownPtr& shown);
    void show_changes(const FieldChanges& changes);
    /// Another past: what is here is of the last one.
    void forget();
    /// The past has grown, or is another one: what is here is to be asked for again.
    void outdated();
    std::optional<vmx::Field> field() const { return field_; }
    FieldHistoryModel& model() { return model_; }
    QString summary() const;
    void recolour();

  signals:
    /// Of the shown transition's vCPU. Only while the panel is seen.
    void asked(vmxscope::vmx::Field field, quint32 vcpu);
    /// The last nested entry before the shown transition that changed the field is to be shown.
    void last_change_asked(vmxscope::vmx::Field field, quint32 vcpu, quint64 from);
    void picked(quint64 seq);

  protected:
    void showEvent(QShowEvent* event) override;

  private:
    void ask();
    void mark_shown();

    FieldHistoryModel model_;
    std::optional<vmx::Field> field_;
    ShownPtr shown_;
    bool wanted_ = false;  // what is asked for once the panel is seen
    QLabel *title_, *summary_;
    QPushButton* last_;
    QTableView* table_;
};

}  // namespace vmxscope::ui
