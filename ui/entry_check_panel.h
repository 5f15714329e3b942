// What VM-entry would say to the shown VMCS, and "what if": with other values, which are never written to the guest.
#pragma once

#include <QWidget>
#include <map>

#include "core/target.h"
#include "ui/entry_check_model.h"
#include "ui/shown.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QTreeView;

namespace vmxscope::ui {

class FittedTable;
class Tag;

class EntryCheckPanel : public QWidget {
    Q_OBJECT

  public:
    explicit EntryCheckPanel(QWidget* parent = nullptr);

    void show_shown(const ShownPtr& shown);
    /// Empty: the target cannot tell, and `why_not`; a processor can be chosen by name all the same.
    void set_capabilities(const std::optional<core::TargetCapabilities>& both, const QString& why_not);
    void set_cpus(const QStringList& names);
    void cpu_loaded(const QString& name, const vmx::Capabilities& capabilities);
    /// Puts a field into the editor.
    void edit(vmx::Field field);
    EntryCheckModel& checks() { return checks_; }
    /// What KVM or the processor said to this entry, where it failed; "" where it did not.
    QString outcome() const;
    QString verdict() const;
    void recolour();

  signals:
    /// The processor `name` is wanted: cpu_loaded() is to be called with it.
    void cpu_wanted(const QString& name);
    void picked(vmxscope::vmx::Field field);

  private:
    QWidget* make_choices();
    QWidget* make_editor();
    void make_list();
    void fill_capability_choice();
    /// Brings the model in line with what is chosen.
    void choose_vmcs();
    void choose_capabilities();
    void apply_edit();
    void update_texts();

    EntryCheckModel checks_;
    EditsModel edits_{checks_};
    ShownPtr shown_;
    std::optional<core::TargetCapabilities> target_;
    QString why_not_;
    QString chosen_;  // of the capabilities, by a person; empty: what fits the VMCS
    QStringList cpus_;
    std::map<QString, vmx::Capabilities> loaded_;
    QComboBox *which_, *capabilities_, *show_, *field_;
    QLabel *outcome_, *hint_, *complaint_;
    Tag* verdict_;
    QTreeView* list_;
    QLineEdit* value_;
    QPushButton *set_, *reset_;
    FittedTable* edits_table_;
};

}  // namespace vmxscope::ui
