// vmcs12 beside vmcs02: every field, in the groups of the SDM, as the two were after one transition.
#pragma once

#include <QAbstractItemModel>
#include <QSortFilterProxyModel>
#include <optional>
#include <vector>

#include "nested/pdptr.h"
#include "ui/transition_list_model.h"

namespace vmxscope::ui {

/// Two levels: groups, and below them fields. The shape never changes, only the values do, so a view keeps its place.
class VmcsModel : public QAbstractItemModel {
    Q_OBJECT

  public:
    enum Column { Name, Vmcs12, Vmcs02, Meaning, kColumnCount };

    explicit VmcsModel(QObject* parent = nullptr);

    /// Shows `transition` (null: nothing). What it changed is told from its own "before" images; where those were not
    /// taken, from `previous`, the transition before it on that vCPU (may be null). `verdict` marks the PDPTR cells.
    void show(TransitionPtr transition, TransitionPtr previous, const std::optional<nested::Verdict>& verdict);
    /// How many fields differ between vmcs12 and vmcs02, and how many this transition changed.
    int differing() const;
    int changed() const;
    /// How many fields vmcs12 or vmcs02 has (or may have: not read).
    int present() const;

    QModelIndex index(int row, int column, const QModelIndex& parent = {}) const override;
    QModelIndex parent(const QModelIndex& index) const override;
    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    struct GroupRows {
        vmx::Group group;
        std::vector<std::size_t> fields;  // indices into vmx::all_fields()
    };
    struct Cell {
        vmx::Value value;
        std::optional<vmx::Value> was;  // what it was before, where that was known and other
        bool undefined = false;
    };
    /// The field that an index of the second level is of.
    std::size_t field_at(const QModelIndex& index) const;
    Cell cell(std::size_t field, int column) const;
    bool differs(std::size_t field) const;
    bool changed(std::size_t field) const;
    bool absent(std::size_t field) const;
    QVariant group_data(const QModelIndex& index, int role) const;
    QVariant field_data(const QModelIndex& index, int role) const;
    QString text(std::size_t field, int column) const;
    QString meaning(std::size_t field) const;
    QString tool_tip(std::size_t field, int column) const;
    vmx::Value before(std::size_t field, int column) const;

    std::vector<GroupRows> groups_;
    TransitionPtr transition_, previous_;
    nested::Is is12_ = nested::Is::Unknown, is02_ = nested::Is::Unknown;
};

/// Search (field name, encoding, value or meaning), only differences, only what this transition changed.
class VmcsFilter : public QSortFilterProxyModel {
    Q_OBJECT

  public:
    explicit VmcsFilter(QObject* parent = nullptr);
    void set_text(const QString& text);
    void set_only_differences(bool on);
    void set_only_changed(bool on);
    /// Also the fields that neither VMCS has (off at first).
    void set_show_absent(bool on);
    bool shows_absent() const { return show_absent_; }
    /// Fields that pass.
    int matches() const;

  protected:
    bool filterAcceptsRow(int row, const QModelIndex& parent) const override;

  private:
    QString text_;
    bool only_differences_ = false, only_changed_ = false, show_absent_ = false;
};

}  // namespace vmxscope::ui
