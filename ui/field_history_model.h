// Every change of one field, in vmcs12 and vmcs02: when, from what to what, and who did it.
#pragma once

#include <QAbstractTableModel>

#include "ui/travel_worker.h"

namespace vmxscope::ui {

class FieldHistoryModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Seq, Kind, Vmcs, Value, Who, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(const FieldChanges& changes);
    void clear() { show({}); }
    quint64 seq_at(int row) const { return changes_.rows[static_cast<size_t>(row)].change.seq; }
    /// The newest at or before `seq`; -1: there is none.
    int row_at(quint64 seq) const;

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    FieldChanges changes_;
};

/// What is another at two transitions.
class DifferenceModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Name, A, B, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(const StateDifferences& differences);
    const StateDifferences& shown() const { return differences_; }

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    StateDifferences differences_;
};

}  // namespace vmxscope::ui
