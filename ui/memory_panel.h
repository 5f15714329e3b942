// Memory at a stop: bytes at an address of L1's or L2's, and what a guest-physical address becomes in L1's EPT and
// L0's.
#pragma once

#include <QWidget>

#include "ui/memory_model.h"
#include "ui/session.h"
#include "ui/shown.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QTableView;

namespace vmxscope::ui {

class FittedTable;

class MemoryPanel : public QWidget {
    Q_OBJECT

  public:
    explicit MemoryPanel(Session& session, QWidget* parent = nullptr);

    /// Whose EPT pointers are walked. What was read stays until something else is.
    void show_shown(const ShownPtr& shown) { shown_ = shown; }
    /// Reads, as the button does.
    void read(core::Space space, quint64 address);
    void walk(quint64 l2_physical);
    QString read_text() const;
    QString walk_text() const;

  private:
    QWidget* make_reader();
    QWidget* make_walker();
    void ask_read();
    void ask_walk();
    void on_memory(const MemoryAnswer& answer);
    void on_walked(const WalkAnswer& answer);
    void update_state();
    std::optional<std::uint32_t> vcpu() const;

    Session& session_;
    ShownPtr shown_;
    HexModel hex_;
    WalkModel walk_;
    quint64 wanted_memory_ = 0, wanted_walk_ = 0;
    QComboBox *space_, *size_;
    QLineEdit *address_, *l2_physical_;
    QPushButton *read_, *walk_button_;
    QLabel *read_text_, *walk_text_;
    QTableView* bytes_;
    FittedTable* walk_table_;
};

}  // namespace vmxscope::ui
