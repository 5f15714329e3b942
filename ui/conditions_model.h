// The conditions behind a PDPTR verdict, and the VMREADs and VMWRITEs that it was checked against.
#pragma once

#include <QAbstractTableModel>
#include <vector>

#include "nested/pdptr.h"
#include "ui/transition_list_model.h"

namespace vmxscope::ui {

/// In KVM's order of evaluation. DetailRole of the first column is the condition's meaning.
class ConditionsModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Name, Value, Held, Meaning, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(std::vector<nested::Condition> conditions);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    std::vector<nested::Condition> conditions_;
};

/// The instructions seen, in the order in which they executed.
class EvidenceModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Op, FieldName, Value, At, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(TransitionPtr transition);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    TransitionPtr transition_;
};

}  // namespace vmxscope::ui
