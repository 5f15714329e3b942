// The checks that VM-entry makes, on one VMCS and as it would be with other values ("what if"). Nothing of that is ever
// written to a guest.
#pragma once

#include <QAbstractTableModel>
#include <QString>
#include <map>
#include <optional>
#include <vector>

#include "ui/verdict_text.h"
#include "vmx/entry_check.h"

namespace vmxscope::ui {

class EntryCheckModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Rule, Section, kColumnCount };
    enum class Show { Failing, Undecided, All };
    using QAbstractTableModel::QAbstractTableModel;

    /// The VMCS to check; edits of an earlier one stay, so that one change can be tried on several.
    void set_vmcs(std::optional<vmx::VmcsImage> image);
    void set_capabilities(std::optional<vmx::Capabilities> capabilities);
    void set_show(Show show);

    void edit(vmx::Field field, std::uint64_t bits);
    void reset_edits();
    const std::map<vmx::Field, std::uint64_t>& edits() const { return edits_; }
    /// As read.
    vmx::Value original(vmx::Field field) const { return image_ ? (*image_)[field] : vmx::Value{}; }
    /// With the edits.
    vmx::Value value(vmx::Field field) const;

    bool checked() const { return check_.has_value(); }
    std::size_t failed() const { return check_ ? check_->failed() : 0; }
    std::size_t undecided() const { return check_ ? check_->undecided() : 0; }
    /// What the processor would do with it, in a sentence, and its mark.
    QString verdict() const;
    Mark verdict_mark() const;
    /// The field that the rule of a row is about.
    vmx::Field field_at(int row) const;

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  signals:
    void rechecked();

  private:
    void recheck();
    void fill_rows();
    QString sentence(std::size_t rule) const;
    QString answer(std::size_t rule) const;
    static Mark mark_of(vmx::Outcome outcome);

    std::optional<vmx::VmcsImage> image_;
    std::optional<vmx::Capabilities> capabilities_;
    std::map<vmx::Field, std::uint64_t> edits_;
    vmx::VmcsImage edited_;
    std::optional<vmx::EntryCheck> check_;
    Show show_ = Show::Failing;
    std::vector<std::size_t> rows_;  // places in vmx::entry_rules()
};

/// The fields that were given other values: as read, and as they are now.
class EditsModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { FieldName, Read, Now, kColumnCount };
    explicit EditsModel(const EntryCheckModel& checks, QObject* parent = nullptr);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  private:
    const EntryCheckModel& checks_;
    std::vector<vmx::Field> rows_;
};

/// "0x…" or a decimal number that fits into the field; empty for anything else.
std::optional<std::uint64_t> parse_value(const QString& text, vmx::Field field);

}  // namespace vmxscope::ui
