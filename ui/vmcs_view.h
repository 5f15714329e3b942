// The centre of the window: which transition is shown, and vmcs12 beside vmcs02 after it.
#pragma once

#include <QSet>
#include <QWidget>
#include <optional>

#include "ui/vmcs_model.h"

class QCheckBox;
class QLabel;
class QLineEdit;
class QTreeView;

namespace vmxscope::ui {

class Heading;

class VmcsView : public QWidget {
    Q_OBJECT

  public:
    explicit VmcsView(QWidget* parent = nullptr);

    /// Null: nothing is shown, and `empty` says why.
    void show_shown(const ShownPtr& shown, const QString& empty);
    void focus_search();
    void set_only_differences(bool on);
    void set_only_changed(bool on);
    void set_show_absent(bool on);
    /// Selects the field's row where the filter lets it through.
    void select_field(vmx::Field field);
    /// Of the selected row; empty when none is, or a group's.
    std::optional<vmx::Field> field() const;
    QTreeView* tree() const { return tree_; }
    VmcsFilter* filter() { return &filter_; }
    Heading& head() { return *head_; }
    /// What stands above the fields, or in their place.
    QString heading() const;
    void recolour();

  signals:
    void only_differences_toggled(bool on);
    void only_changed_toggled(bool on);
    /// Another row was selected; `clicked`: with the mouse.
    void field_selected(vmxscope::vmx::Field field, bool clicked);
    /// A row was double-clicked: what if it had another value?
    void field_activated(vmxscope::vmx::Field field);

  protected:
    void resizeEvent(QResizeEvent* event) override;

  private:
    QWidget* make_filter_line();
    QWidget* make_legend();
    void make_tree();
    void connect_tree();
    void fit_columns();
    void refilter();
    void restore_expansion();
    void update_counts();

    VmcsModel model_;
    VmcsFilter filter_;
    ShownPtr shown_;
    QSet<QString> collapsed_;  // groups the user closed
    Heading* head_;
    QLabel *counts_, *legend_, *nothing_;
    QWidget *filter_line_, *legend_line_;
    QLineEdit* search_;
    QCheckBox *only_differences_, *only_changed_, *only_findings_, *hide_meaningless_;
    QTreeView* tree_;
};

}  // namespace vmxscope::ui
