// The conditions behind a PDPTR verdict, and the VMREADs and VMWRITEs that it was checked against.
#pragma once

#include <QAbstractTableModel>
#include <span>
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

/// The instructions seen, in the order in which they executed; all, or those on some fields.
class EvidenceModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Op, Vmcs, FieldName, Value, At, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(TransitionPtr transition, std::span<const vmx::Field> fields);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    TransitionPtr transition_;
    std::vector<std::size_t> rows_;  // places in Transition::evidence
};

}  // namespace vmxscope::ui
