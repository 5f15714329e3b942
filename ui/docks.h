// The panels around the fields: the list at the left, and at the right, one behind the other, all that is said about
// the shown transition.
#pragma once

#include <QDockWidget>
#include <QMainWindow>

#include "ui/session.h"
#include "ui/shown.h"

namespace vmxscope::ui {

class EntryCheckPanel;
class FieldPanel;
class FindingsPanel;
class MemoryPanel;
class PdptrPanel;
class TransitionListView;

struct Docks {
    Docks(QMainWindow* window, Session& session, TransitionListModel* transitions);

    TransitionListView* list;
    PdptrPanel* pdptrs;
    FieldPanel* field;
    FindingsPanel* findings;
    EntryCheckPanel* checks;
    MemoryPanel* memory;
    QDockWidget *list_dock, *pdptr_dock, *field_dock, *findings_dock, *checks_dock, *memory_dock;

    QList<QDockWidget*> all() const {
        return {list_dock, pdptr_dock, field_dock, findings_dock, checks_dock, memory_dock};
    }
    /// The dock of that object name ("field"); null if there is none.
    QDockWidget* named(const QString& name) const;
    /// Shows or hides all, in the shares of the window that they begin with.
    void set_visible(bool on);
    /// All but the PDPTR panel, which needs the list.
    void show_shown(const ShownPtr& shown);
    void recolour();

  private:
    QDockWidget* make(const QString& title, const char* name, QWidget* inside, Qt::DockWidgetArea area);

    QMainWindow* window_;
    Session& session_;
};

}  // namespace vmxscope::ui
