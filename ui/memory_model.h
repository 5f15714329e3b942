// Memory as a hex dump, and the two walks of a guest-physical address: L1's EPT and L0's.
#pragma once

#include <QAbstractTableModel>
#include <QString>
#include <optional>
#include <vector>

#include "ui/session_worker.h"
#include "vmx/paging.h"

namespace vmxscope::ui {

/// Eight bytes a row.
class HexModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Address, Bytes, Text, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(quint64 address, std::vector<std::byte> bytes);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    quint64 address_ = 0;
    std::vector<std::byte> bytes_;
};

/// A row for each level that either walk read, from the root down; the last says where each ends.
class WalkModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Level, Ept12, Ept02, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(WalkAnswer answer);
    void clear();

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    const std::optional<vmx::Walk>& walk(int column) const { return column == Ept12 ? answer_.ept12 : answer_.ept02; }
    const vmx::WalkStep* step(int row, int column) const;
    QString end_text(int column) const;

    WalkAnswer answer_;
    std::vector<unsigned> levels_;
};

}  // namespace vmxscope::ui
