// The transitions seen so far, in the order of the crossings, and what each did to the PDPTRs.
#pragma once

#include <QAbstractTableModel>
#include <QList>
#include <QSortFilterProxyModel>
#include <memory>
#include <optional>
#include <vector>

#include "nested/pdptr.h"
#include "nested/transition.h"

namespace vmxscope::ui {

using TransitionPtr = std::shared_ptr<const nested::Transition>;

/// Keeps transitions sorted by (connection, seq). They may arrive late and in any order; a second copy is ignored.
class TransitionListModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Seq, Vcpu, Kind, Levels, Pdptr, Reason, kColumnCount };
    /// Beyond this many the oldest are let go, and counted in let_go(). A transition takes about 16 KiB.
    static constexpr int kMaxKept = 10'000;

    using QAbstractTableModel::QAbstractTableModel;

    void add(const QList<TransitionPtr>& transitions);
    /// What is here stays, marked EarlierRole; what comes from now on is of a new connection with its own sequence.
    void begin_connection();
    void clear();

    TransitionPtr at(int row) const { return rows_[static_cast<size_t>(row)].transition; }
    const std::optional<nested::Verdict>& verdict_at(int row) const { return rows_[static_cast<size_t>(row)].verdict; }
    /// Row of a transition of the present connection, -1 if it is not here.
    int row_of(quint64 seq) const;
    /// The newest row at or before `row` that has a verdict and is of the same vCPU and connection; -1 if none.
    int verdict_row_for(int row) const;
    /// The row before `row` of the same vCPU and connection; -1 if none.
    int previous_row(int row) const;
    bool same_connection(int a, int b) const {
        return rows_[static_cast<size_t>(a)].connection == rows_[static_cast<size_t>(b)].connection;
    }
    /// Row of that very transition, of whichever connection; -1 if it is not here.
    int row_of(const TransitionPtr& transition) const;
    /// Transitions between the row before and this one that are not in the list (lost, or not fetched).
    quint64 missing_before(int row) const;
    /// The same, of all rows after `from` up to `to`.
    quint64 missing_between(int from, int to) const;
    quint64 let_go() const { return let_go_; }

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    struct Row {
        int connection = 0;
        TransitionPtr transition;
        std::optional<nested::Verdict> verdict;
    };
    void insert(const TransitionPtr& transition);
    void trim();
    bool same_run(const Row& a, const Row& b) const;
    QString text(int row, int column) const;
    QString tool_tip(int row, int column) const;

    std::vector<Row> rows_;
    int connection_ = 0;
    quint64 let_go_ = 0;
};

/// Filters by text in any column, and to the transitions that moved (or should have moved) PDPTRs.
class TransitionFilter : public QSortFilterProxyModel {
    Q_OBJECT

  public:
    enum class Show { All, WithVerdict, Undefined };
    using QSortFilterProxyModel::QSortFilterProxyModel;

    void set_text(const QString& text);
    void set_show(Show show);

  protected:
    bool filterAcceptsRow(int row, const QModelIndex& parent) const override;

  private:
    QString text_;
    Show show_ = Show::All;
};

}  // namespace vmxscope::ui

Q_DECLARE_METATYPE(vmxscope::ui::TransitionPtr)
