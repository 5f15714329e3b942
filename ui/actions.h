// Every command of the window: its words, key, icon, and in which states of the session it can be given.
#pragma once

#include <QAction>
#include <QMainWindow>

#include "ui/session.h"

class QMenu;
class QToolButton;

namespace vmxscope::ui {

struct Actions {
    explicit Actions(QMainWindow* window);

    QAction *attach, *detach, *retry, *open_trace, *save_session, *open_dump, *paste_dump, *picture, *quit;
    QAction *step, *step_nested, *step_entry, *step_exit, *resume, *interrupt, *record, *hold_others;
    QAction *back, *back_nested, *back_entry, *back_exit, *forward;
    QAction *go_to, *filter, *search_next, *search_previous, *mark, *bookmark, *note, *show_history;
    QAction *find, *only_differences, *only_changed, *show_absent, *show_timeline, *previous, *next, *live;
    QAction *evidence_none, *evidence_pdptrs, *evidence_all;
    QAction *theme_system, *theme_light, *theme_dark, *about;

    /// Enables what can be done in `state`; `any`: some transition is in the list; `several`: more than one vCPU;
    /// `instructions`: a step is one instruction, as there are no transitions.
    void enable(Session::State state, bool any, bool several, bool instructions);
    /// `past`, `future`: there are transitions before, after the shown one; `guest`: at the end a step moves a guest.
    void enable_travel(bool past, bool future, bool guest);
    /// The menus and the tool bar; returns the View menu, for the docks' entries.
    QMenu* fill(QMainWindow* window);
    /// Checks the one that is in force.
    void show_evidence(nested::EvidenceScope scope);
    void show_recording(bool on);
    /// Draws the icons in the present palette.
    void recolour();

  private:
    void make_travel(QMainWindow* window);
    void fill_tools(QMainWindow* window);
    QToolButton* evidence_button_ = nullptr;
    bool held_ = false, instructions_ = false;
};

}  // namespace vmxscope::ui
