// The window: what is attached, what was seen, and what one transition did.
#pragma once

#include <QMainWindow>

#include "ui/actions.h"
#include "ui/palette.h"
#include "ui/session.h"
#include "ui/transition_list_model.h"

class QDockWidget;
class QStackedWidget;

namespace vmxscope::ui {

class AttachPage;
class MessageBar;
class PdptrPanel;
class StatusLine;
class TransitionListView;
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
    int shown_row() const { return shown_.isValid() ? shown_.row() : -1; }

    TransitionListModel& transitions() { return list_; }
    Actions& actions() { return actions_; }
    VmcsView& vmcs() { return *vmcs_; }
    PdptrPanel& pdptrs() { return *pdptrs_; }
    MessageBar& message() { return *message_; }
    StatusLine& status() { return *status_; }

  protected:
    void closeEvent(QCloseEvent* event) override;

  private:
    void make_layout();
    QDockWidget* make_dock(const QString& title, const char* name, QWidget* inside, Qt::DockWidgetArea area);
    void connect_actions();
    void connect_session();
    void step(core::StepKind kind);
    void ask_attach();
    void attach(const QString& uri);
    void on_connected(bool again);
    void on_transitions(const QList<TransitionPtr>& transitions);
    /// The part of show_row() that must be done again when earlier transitions come in.
    void show_values(int row);
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
    QPersistentModelIndex shown_;

    QStackedWidget* pages_;
    WelcomePage* welcome_;
    AttachPage* attaching_;
    VmcsView* vmcs_;
    PdptrPanel* pdptrs_;
    TransitionListView* list_view_;
    MessageBar* message_;
    StatusLine* status_;
    QDockWidget *list_dock_, *pdptr_dock_;
    bool docks_shown_ = false;
};

}  // namespace vmxscope::ui
