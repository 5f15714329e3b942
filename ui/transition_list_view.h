// The left side of the window: the transitions so far.
#pragma once

#include <QWidget>

#include "ui/transition_list_model.h"

class QComboBox;
class QLineEdit;
class QTreeView;

namespace vmxscope::ui {

class TransitionListView : public QWidget {
    Q_OBJECT

  public:
    explicit TransitionListView(TransitionListModel* list, QWidget* parent = nullptr);

    /// Selects row `row` of the list where the filter lets it through; nothing where not.
    void select_row(int row);
    /// The list's row `steps` further down (or up, when negative) among those shown, from `row`; -1 if there is none.
    int neighbour(int row, int steps) const;
    void show_vcpu_column(bool on);

  signals:
    /// The user picked row `row` of the list.
    void picked(int row);

  private:
    TransitionListModel* list_;
    TransitionFilter filter_;
    QLineEdit* search_;
    QComboBox* show_;
    QTreeView* view_;
    bool selecting_ = false;
};

}  // namespace vmxscope::ui
