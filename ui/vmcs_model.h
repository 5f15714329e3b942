// vmcs12 beside vmcs02: every field, in the groups of the SDM, as the two were after one transition; where each value
// came from, and whether it is what the rule computes.
#pragma once

#include <QAbstractItemModel>
#include <QSortFilterProxyModel>
#include <bitset>
#include <optional>
#include <vector>

#include "ui/shown.h"
#include "ui/verdict_text.h"

namespace vmxscope::ui {

/// Two levels: groups, and below them fields. The shape never changes, only the values do, so a view keeps its place.
class VmcsModel : public QAbstractItemModel {
    Q_OBJECT

  public:
    enum Column { Name, Vmcs12, Vmcs02, Rule, CameFrom, Meaning, kColumnCount };

    explicit VmcsModel(QObject* parent = nullptr);

    /// Shows nothing when null. What it changed is told from its own "before" images; where those were not taken, from
    /// the transition before it on that vCPU. Its verdict marks the PDPTR cells.
    void show(ShownPtr shown);
    /// How many fields differ between vmcs12 and vmcs02, how many this transition changed, how many have findings, and
    /// how many say nothing in either VMCS.
    int differing() const;
    int changed() const;
    int with_findings() const;
    int meaningless() const;
    /// The index, in the model, of a field's first column.
    QModelIndex index_of(vmx::Field field) const;
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
    bool has_finding(std::size_t field) const { return findings_[field]; }
    bool meaningless(std::size_t field, int column) const;
    bool meaningless(std::size_t field) const;
    template <typename Test>
    int count(Test test) const;
    QString came_from(std::size_t field) const;
    QString rule_cell(std::size_t field) const;
    Mark rule_mark(std::size_t field) const;
    QString rule_tip(std::size_t field) const;
    QString cell_tip(std::size_t field, int column) const;
    QVariant group_data(const QModelIndex& index, int role) const;
    QVariant field_data(const QModelIndex& index, int role) const;
    QString text(std::size_t field, int column) const;
    QString meaning(std::size_t field) const;
    QString tool_tip(std::size_t field, int column) const;
    vmx::Value before(std::size_t field, int column) const;

    std::vector<GroupRows> groups_;
    ShownPtr shown_;
    std::bitset<vmx::kFieldCount> findings_;
    nested::Is is12_ = nested::Is::Unknown, is02_ = nested::Is::Unknown;
};

/// Search (field name, encoding, value, origin or meaning), only differences, only what this transition changed, only
/// what has findings; and without what says nothing.
class VmcsFilter : public QSortFilterProxyModel {
    Q_OBJECT

  public:
    explicit VmcsFilter(QObject* parent = nullptr);
    void set_text(const QString& text);
    void set_only_differences(bool on);
    void set_only_changed(bool on);
    void set_only_findings(bool on);
    void set_hide_meaningless(bool on);
    /// Also the fields that neither VMCS has (off at first).
    void set_show_absent(bool on);
    bool shows_absent() const { return show_absent_; }
    /// Fields that pass.
    int matches() const;

  protected:
    bool filterAcceptsRow(int row, const QModelIndex& parent) const override;

  private:
    QString text_;
    bool only_differences_ = false, only_changed_ = false, only_findings_ = false, hide_meaningless_ = false;
    bool show_absent_ = false;
};

}  // namespace vmxscope::ui
