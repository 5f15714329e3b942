// The four PDPTRs in the places that hold them: vmcs12, vmcs02, KVM's register cache, and the table in L2's memory.
#pragma once

#include <QAbstractTableModel>
#include <array>
#include <optional>

#include "nested/pdptr.h"
#include "ui/transition_list_model.h"

namespace vmxscope::ui {

/// Four rows; the display text is the value, DetailRole its decoding, UndefinedRole whether it may be relied on.
class PdptrModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Vmcs12, Vmcs02, Cached, Memory, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    /// Forgets what was read from memory.
    void show(TransitionPtr transition, const std::optional<nested::Verdict>& verdict);
    /// The four entries that L2's CR3 points to, as they are in memory now.
    void set_memory(const std::array<std::uint64_t, 4>& entries);
    /// How many values elsewhere are not those in memory.
    int stale() const;

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    vmx::Value value(int row, int column) const;
    bool undefined(int column) const;
    /// A value that is not the one in memory: the table was changed since, or it is not where the value came from.
    bool stale(int row, int column) const;
    QString detail(int row, int column) const;
    QString tool_tip(int row, int column) const;

    TransitionPtr transition_;
    std::array<vmx::Value, 4> memory_{};
    nested::Is is12_ = nested::Is::Unknown, is02_ = nested::Is::Unknown;
};

}  // namespace vmxscope::ui
