// The window: what is attached, what was seen, and the whole truth of one transition; or of a VMCS out of a file.
#pragma once

#include <QMainWindow>

#include "ui/actions.h"
#include "ui/docks.h"
#include "ui/loader.h"
#include "ui/palette.h"
#include "ui/session.h"
#include "ui/transition_list_model.h"

class QStackedWidget;
class QTimer;

namespace vmxscope::ui {

class AttachPage;
class MessageBar;
class StatusLine;
class VmcsView;
class WelcomePage;

enum class ThemeChoice { System, Light, Dark };

class MainWindow : public QMainWindow {
    Q_OBJECT

  public:
    /// `remember`: geometry, theme and last target are kept between runs.
    MainWindow(Session& session, ThemeChoice theme, bool remember, QWidget* parent = nullptr);
    ~MainWindow() override;

    void set_theme(ThemeChoice theme);
    /// Shows row `row` of the list of transitions; -1 shows none.
    void show_row(int row);
    /// Reads a file with VMCSs in it and shows the first; the rest can be chosen.
    void open_dump(const QString& file);
    /// Brings the panel of that object name ("field", "checks", …) to the front.
    void raise_panel(const QString& name);
    void show_field(vmx::Field field);
    /// Writes what is known of a finding into a file.
    void save_report(const TransitionPtr& transition, const nested::Finding& finding, const QString& file);
    int shown_row() const { return shown_.isValid() ? shown_.row() : -1; }

    TransitionListModel& transitions() { return list_; }
    Actions& actions() { return actions_; }
    VmcsView& vmcs() { return *vmcs_; }
    PdptrPanel& pdptrs() { return *docks_.pdptrs; }
    Docks& docks() { return docks_; }
    MessageBar& message() { return *message_; }
    StatusLine& status() { return *status_; }

  protected:
    void closeEvent(QCloseEvent* event) override;

  private:
    void make_layout();
    void connect_actions();
    void connect_views();
    void connect_docks();
    void connect_loader();
    void connect_session();
    void step(core::StepKind kind);
    void ask_attach();
    void attach(const QString& uri);
    void on_connected(bool again);
    void on_transitions(const QList<TransitionPtr>& transitions);
    /// The part of show_row() that must be done again when earlier transitions come in.
    void show_values(int row);
    void show_shown(const ShownPtr& shown);
    void show_dump(int at);
    void close_dump();
    void on_dump(const ImportedPtr& imported, const QString& source);
    void on_capabilities();
    void ask_save_report(const TransitionPtr& transition, const nested::Finding& finding);
    void ask_open_dump();
    void paste_dump();
    /// Where L2 is in PAE paging at the live stop: asks for the four PDPTEs in its memory.
    void ask_pdptes();
    void on_memory(const MemoryAnswer& answer);
    void on_stopped(const core::Stop& stop);
    void on_lost(const QString& what, const QString& remedy);
    void move_by(int steps);
    void go_live();
    /// Brings page, docks, actions and status in line with the session's state.
    void update_state();
    void update_away();
    void save_picture();
    void show_about();
    void recolour();
    void restore_settings();

    Session& session_;
    bool remember_;
    Actions actions_;
    TransitionListModel list_;
    Docks docks_;
    QPersistentModelIndex shown_;
    ShownPtr now_;  // what every panel shows; null: nothing
    Loader loader_;
    ImportedPtr dump_;
    QString dump_source_;
    quint64 wanted_pdptes_ = 0;
    QTimer* late_;  // earlier transitions came in: the past of the shown one is told anew

    QStackedWidget* pages_;
    WelcomePage* welcome_;
    AttachPage* attaching_;
    VmcsView* vmcs_;
    MessageBar* message_;
    StatusLine* status_;
    bool docks_shown_ = false;
};

}  // namespace vmxscope::ui
