// The window: what is attached, what was seen, and the whole truth of one transition; or of a VMCS out of a file.
#pragma once

#include <QMainWindow>

#include "ui/actions.h"
#include "ui/docks.h"
#include "ui/loader.h"
#include "ui/message_bar.h"
#include "ui/palette.h"
#include "ui/session.h"
#include "ui/transition_list_model.h"
#include "ui/travel.h"

class QStackedWidget;

namespace vmxscope::ui {

class AttachPage;
class StatusLine;
class TimelineStrip;
class VmcsView;
class RegistersPanel;
class WelcomePage;

enum class ThemeChoice { System, Light, Dark };

class MainWindow : public QMainWindow {
    Q_OBJECT

  public:
    /// `remember`: geometry, theme and last target are kept between runs.
    MainWindow(Session& session, ThemeChoice theme, bool remember, QWidget* parent = nullptr);
    ~MainWindow() override;

    void set_theme(ThemeChoice theme);
    /// Opens a trace file in place of what is there; a session under way is left.
    void open_trace(const QString& file);
    /// A trace by its name or as "trace:FILE", a file with VMCSs in it, or else a target to be attached to.
    void open(const QString& what);
    /// Shows that transition, once the worker has it; 0 shows none.
    void show_seq(quint64 seq);
    /// As the keys do: forth in the past, and at its end the guest itself.
    void step(core::StepKind kind);
    void step_back(core::StepKind kind);
    /// A number, a time, or a condition.
    void go_to(const QString& what);
    void search(core::Way way);
    void save_session(const QString& file);
    /// Reads a file with VMCSs in it and shows the first; the rest can be chosen.
    void open_dump(const QString& file);
    /// Brings the panel of that object name ("field", "checks", …) to the front.
    void raise_panel(const QString& name);
    void show_field(vmx::Field field);
    /// Writes what is known of a finding into a file.
    void save_report(const TransitionPtr& transition, const nested::Finding& finding, const QString& file);
    /// 0: no transition is shown.
    quint64 shown_seq() const { return now_ && !now_->dump ? now_->transition->seq : 0; }
    const ShownPtr& shown() const { return now_; }
    /// The trace that is open; empty: none.
    const QString& trace() const { return trace_; }
    /// The newest transition that there is to go to; 0: none.
    quint64 present() const { return trace_.isEmpty() ? session_.live_seq() : all_.last(); }

    TransitionListModel& transitions() { return list_; }
    Travel& travel() { return travel_; }
    Actions& actions() { return actions_; }
    VmcsView& vmcs() { return *vmcs_; }
    PdptrPanel& pdptrs() { return *docks_.pdptrs; }
    TimelineStrip& strip() { return *strip_; }
    Docks& docks() { return docks_; }
    RegistersPanel& registers() { return *registers_; }
    MessageBar& message() { return *message_; }
    StatusLine& status() { return *status_; }

  signals:
    void shown_changed();
    void trace_failed(const QString& what);

  protected:
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;
    void closeEvent(QCloseEvent* event) override;

  private:
    void make_layout();
    void connect_actions();
    void connect_views();
    void connect_docks();
    void connect_loader();
    void connect_session();
    void connect_travel();
    void connect_time_docks();
    void connect_strip();
    void ask_attach();
    void attach(const QString& uri);
    void on_connected();
    void on_opened(const OpenedTrace& trace);
    void on_grown(const Runs& more, quint64 first, quint64 dropped);
    void on_shown(const ShownPtr& shown);
    /// Begins the list, the findings and all that was derived anew.
    void forget_past();
    void filter(const QString& condition);
    bool in_past() const { return shown_seq() != 0 && shown_seq() < all_.last(); }
    void ask_open_trace();
    void ask_save_session();
    void connect_recording();
    /// Begins a recording, or ends the one under way.
    void toggle_record();
    void ask_go_to();
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
    MessageBar::Offer retrying(const QString& words);
    void on_lost(const QString& what, const QString& remedy);
    void move_by(int steps);
    void go_live();
    /// Brings page, docks, actions and status in line with the session's state.
    void update_state();
    /// Where in the past the shown transition is, and where one can go from it.
    void update_past();
    void update_status();
    void save_picture();
    void show_about();
    void recolour();
    void restore_settings();

    Session& session_;
    bool remember_;
    Actions actions_;
    TransitionListModel list_;
    Docks docks_;
    Travel travel_;
    Runs all_;  // every transition that is kept
    QString trace_;
    OpenedTrace opened_;
    quint64 dropped_ = 0;
    quint64 wanted_ = 0;   // to be shown
    bool follows_ = true;  // what was asked for is the newest, and so will be the next stop
    quint64 filter_ticket_ = 0;
    QString looked_for_;  // by a condition, last
    bool recording_ = false;
    bool told_ = false;  // the message is of a search that found nothing
    ShownPtr now_;        // what every panel shows; null: nothing
    Loader loader_;
    ImportedPtr dump_;
    QString dump_source_;
    quint64 wanted_pdptes_ = 0;

    QStackedWidget* pages_;
    WelcomePage* welcome_;
    RegistersPanel* registers_;  // of a target without transitions
    AttachPage* attaching_;
    VmcsView* vmcs_;
    TimelineStrip* strip_;
    MessageBar* message_;
    StatusLine* status_;
    bool docks_shown_ = false;
};

}  // namespace vmxscope::ui
