// The left side of the window: the transitions, and the condition that they are filtered by.
#pragma once

#include <QWidget>

#include "ui/filter_bar.h"
#include "ui/transition_list_model.h"

class QTableView;

namespace vmxscope::ui {

class TransitionListView : public QWidget {
    Q_OBJECT

  public:
    explicit TransitionListView(TransitionListModel* list, QWidget* parent = nullptr);

    /// Selects the row where the filter lets it through; nothing where not.
    void select(quint64 seq);
    void show_vcpu_column(bool on);
    /// Makes room for numbers up to this one.
    void fit_numbers(quint64 last);
    FilterBar& filter() { return *filter_; }
    QTableView* table() { return view_; }

  signals:
    /// The user picked a transition.
    void picked(quint64 seq);

  private:
    TransitionListModel* list_;
    FilterBar* filter_;
    QTableView* view_;
    bool selecting_ = false;
};

}  // namespace vmxscope::ui
