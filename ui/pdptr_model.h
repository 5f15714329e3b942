// The four PDPTRs in the three places that hold them: vmcs12, vmcs02, and KVM's register cache.
#pragma once

#include <QAbstractTableModel>
#include <optional>

#include "nested/pdptr.h"
#include "ui/transition_list_model.h"

namespace vmxscope::ui {

/// Four rows; the display text is the value, DetailRole its decoding, UndefinedRole whether it may be relied on.
class PdptrModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Vmcs12, Vmcs02, Cached, kColumnCount };
    using QAbstractTableModel::QAbstractTableModel;

    void show(TransitionPtr transition, const std::optional<nested::Verdict>& verdict);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    vmx::Value value(int row, int column) const;
    bool undefined(int column) const;
    QString detail(int row, int column) const;
    QString tool_tip(int row, int column) const;

    TransitionPtr transition_;
    nested::Is is12_ = nested::Is::Unknown, is02_ = nested::Is::Unknown;
};

}  // namespace vmxscope::ui
