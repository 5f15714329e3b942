// The centre of the window: which transition is shown, and vmcs12 beside vmcs02 after it.
#pragma once

#include <QSet>
#include <QWidget>

#include "ui/vmcs_model.h"

class QCheckBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QTreeView;

namespace vmxscope::ui {

class VmcsView : public QWidget {
    Q_OBJECT

  public:
    explicit VmcsView(QWidget* parent = nullptr);

    /// Row -1: nothing is shown, and `empty` says why.
    void show_row(const TransitionListModel& list, int row, const QString& empty);
    /// 0: the shown transition is the live one, or none is.
    void set_live(quint64 shown_seq, quint64 live_seq);
    void focus_search();
    void set_only_differences(bool on);
    void set_only_changed(bool on);
    void set_show_absent(bool on);
    QTreeView* tree() const { return tree_; }
    VmcsFilter* filter() { return &filter_; }
    QString heading() const;
    void recolour();

  signals:
    void only_differences_toggled(bool on);
    void only_changed_toggled(bool on);
    void go_live();

  private:
    QWidget* make_heading();
    QWidget* make_filter_line();
    QWidget* make_legend();
    void make_tree();
    void refilter();
    void restore_expansion();
    void update_counts();

    VmcsModel model_;
    VmcsFilter filter_;
    QSet<QString> collapsed_;  // groups the user closed
    QLabel *heading_, *facts_, *notes_, *counts_, *away_, *legend_, *nothing_;
    QWidget *filter_line_, *legend_line_;
    QPushButton* live_;
    QLineEdit* search_;
    QCheckBox *only_differences_, *only_changed_;
    QTreeView* tree_;
};

}  // namespace vmxscope::ui
