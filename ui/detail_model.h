// One field, taken apart: its bits in vmcs12 and vmcs02, and what a merged value was merged from.
#pragma once

#include <QAbstractTableModel>
#include <QString>
#include <vector>

#include "core/target.h"
#include "ui/shown.h"

namespace vmxscope::ui {

/// A row for each bit or sub-field; those that vmcs12 and vmcs02 share stand in one row.
class DetailModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Name, Vmcs12, Vmcs02, Meaning, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    /// Empty when `shown` is null. `capabilities`, or null: which settings are allowed is said from them.
    void show(const ShownPtr& shown, vmx::Field field, const core::TargetCapabilities* capabilities);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    struct Row {
        QString name, vmcs12, vmcs02, meaning12, meaning02;
        bool differs() const { return !vmcs12.isEmpty() && !vmcs02.isEmpty() && vmcs12 != vmcs02; }
    };
    QString meaning(const Row& row) const;
    std::vector<Row> rows_;
};

/// What vmcs02's value is merged from at a nested entry, and the result.
class PartsModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Part, Value, Says, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(const ShownPtr& shown, vmx::Field field);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    struct Row {
        QString name;
        vmx::Value value;
        bool result = false;
    };
    void add_results(const Shown& shown, std::size_t index);
    std::vector<Row> rows_;
    vmx::Field field_{};
};

}  // namespace vmxscope::ui
