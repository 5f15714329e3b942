// A target that steps instructions, as a GDB stub does: the general registers of the vCPU that stopped, in place of the fields.
#pragma once

#include <QWidget>

#include "ui/session_worker.h"

class QLabel;
class QTableWidget;

namespace vmxscope::ui {

class RegistersPanel : public QWidget {
    Q_OBJECT

  public:
    explicit RegistersPanel(QWidget* parent = nullptr);

    /// `notes`: what the target says of itself.
    void set_notes(const std::vector<std::string>& notes);
    /// Those that differ from what was shown of this vCPU before are bold.
    void show_registers(const Registers& registers);
    void show_running();
    /// For tests: what stands beside a name; empty where it is not shown.
    QString value_of(const QString& name) const;

  private:
    QLabel *head_, *notes_;
    QTableWidget* table_;
    std::map<std::uint32_t, std::map<std::string, std::vector<std::byte>>> before_;  // by vCPU and name
};

}  // namespace vmxscope::ui
