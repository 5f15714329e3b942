#include "ui/docks.h"

#include <algorithm>

#include "ui/difference_panel.h"
#include "ui/entry_check_panel.h"
#include "ui/field_panel.h"
#include "ui/findings_panel.h"
#include "ui/history_panel.h"
#include "ui/memory_panel.h"
#include "ui/notes_panel.h"
#include "ui/pdptr_panel.h"
#include "ui/transition_list_view.h"

namespace vmxscope::ui {

namespace {

constexpr double kListShare = 0.195, kPanelShare = 0.24;  // of the window's width; the fields get the rest
constexpr int kListLeast = 282, kPanelLeast = 378;        // pixels

}  // namespace

Docks::Docks(QMainWindow* window, Session& session, TransitionListModel* transitions)
    : list(new TransitionListView(transitions)),
      pdptrs(new PdptrPanel),
      field(new FieldPanel),
      history(new HistoryPanel),
      findings(new FindingsPanel),
      checks(new EntryCheckPanel),
      memory(new MemoryPanel(session)),
      difference(new DifferencePanel),
      notes(new NotesPanel),
      window_(window),
      session_(session) {
    window->setTabPosition(Qt::RightDockWidgetArea, QTabWidget::North);
    list_dock = make(QStringLiteral("Transitions"), "transitions", list, Qt::LeftDockWidgetArea);
    pdptr_dock = make(QStringLiteral("PDPTRs"), "pdptrs", pdptrs, Qt::RightDockWidgetArea);
    field_dock = make(QStringLiteral("Field"), "field", field, Qt::RightDockWidgetArea);
    history_dock = make(QStringLiteral("Field history"), "history", history, Qt::BottomDockWidgetArea);
    findings_dock = make(QStringLiteral("Findings"), "findings", findings, Qt::RightDockWidgetArea);
    checks_dock = make(QStringLiteral("Checks"), "checks", checks, Qt::RightDockWidgetArea);
    memory_dock = make(QStringLiteral("Memory"), "memory", memory, Qt::RightDockWidgetArea);
    difference_dock = make(QStringLiteral("Compare"), "compare", difference, Qt::BottomDockWidgetArea);
    notes_dock = make(QStringLiteral("Notes"), "notes", notes, Qt::BottomDockWidgetArea);
    for (QDockWidget* dock : {field_dock, findings_dock, checks_dock, memory_dock})
        window->tabifyDockWidget(pdptr_dock, dock);
    for (QDockWidget* dock : {difference_dock, notes_dock}) window->tabifyDockWidget(history_dock, dock);
    // The tables of time lie below the fields, between the columns.
    window->setTabPosition(Qt::BottomDockWidgetArea, QTabWidget::North);
    window->setCorner(Qt::BottomLeftCorner, Qt::LeftDockWidgetArea);
    window->setCorner(Qt::BottomRightCorner, Qt::RightDockWidgetArea);
}

QDockWidget* Docks::make(const QString& title, const char* name, QWidget* inside, Qt::DockWidgetArea area) {
    auto* dock = new QDockWidget(title, window_);
    dock->setObjectName(QString::fromLatin1(name));
    dock->setWidget(inside);
    dock->setFeatures(QDockWidget::DockWidgetMovable | QDockWidget::DockWidgetFloatable |
                      QDockWidget::DockWidgetClosable);
    window_->addDockWidget(area, dock);
    dock->hide();
    return dock;
}

QDockWidget* Docks::named(const QString& name) const {
    for (QDockWidget* dock : all())
        if (dock->objectName() == name) return dock;
    return nullptr;
}

void Docks::raise(QDockWidget* dock) {
    dock->show();
    dock->raise();
}

void Docks::set_visible(bool on) {
    for (QDockWidget* dock : all())
        if (!on || window_->dockWidgetArea(dock) != Qt::BottomDockWidgetArea) dock->setVisible(on);
    if (!on) return;
    pdptr_dock->raise();
    const int wide = window_->width();
    window_->resizeDocks({list_dock, pdptr_dock},
                         {std::max(kListLeast, int(wide * kListShare)), std::max(kPanelLeast, int(wide * kPanelShare))},
                         Qt::Horizontal);
}

void Docks::show_shown(const ShownPtr& shown) {
    const auto& capabilities = session_.capabilities();
    pdptrs->show_shown(shown && !shown->dump ? shown : nullptr);
    history->show_shown(shown);
    difference->show_shown(shown);
    notes->show_shown(shown);
    field->show_shown(shown, capabilities ? &*capabilities : nullptr);
    checks->show_shown(shown);
    memory->show_shown(shown);
}

void Docks::recolour() {
    pdptrs->recolour();
    field->recolour();
    checks->recolour();
    history->recolour();
    difference->recolour();
    notes->recolour();
    list->filter().recolour();
}

}  // namespace vmxscope::ui
