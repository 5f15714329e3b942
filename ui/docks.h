// The panels around the fields: the list at the left, and at the right, one behind the other, all that is said about
// the shown transition.
#pragma once

#include <QDockWidget>
#include <QMainWindow>

#include "ui/session.h"
#include "ui/shown.h"

namespace vmxscope::ui {

class DifferencePanel;
class EntryCheckPanel;
class FieldPanel;
class FindingsPanel;
class HistoryPanel;
class MemoryPanel;
class NotesPanel;
class PdptrPanel;
class TransitionListView;

struct Docks {
    Docks(QMainWindow* window, Session& session, TransitionListModel* transitions);

    TransitionListView* list;
    PdptrPanel* pdptrs;
    FieldPanel* field;
    HistoryPanel* history;
    FindingsPanel* findings;
    EntryCheckPanel* checks;
    MemoryPanel* memory;
    DifferencePanel* difference;
    NotesPanel* notes;
    QDockWidget *list_dock, *pdptr_dock, *field_dock, *history_dock, *findings_dock, *checks_dock, *memory_dock,
        *difference_dock, *notes_dock;

    QList<QDockWidget*> all() const {
        return {list_dock,   pdptr_dock,  field_dock,      history_dock, findings_dock,
                checks_dock, memory_dock, difference_dock, notes_dock};
    }
    /// The dock of that object name ("field"); null if there is none.
    QDockWidget* named(const QString& name) const;
    /// Shows a panel and brings it to the front.
    static void raise(QDockWidget* dock);
    /// Shows or hides all but those of time, which come when they are asked for; in the shares of the window that they
    /// begin with.
    void set_visible(bool on);
    void show_shown(const ShownPtr& shown);
    void recolour();

  private:
    QDockWidget* make(const QString& title, const char* name, QWidget* inside, Qt::DockWidgetArea area);

    QMainWindow* window_;
    Session& session_;
};

}  // namespace vmxscope::ui
