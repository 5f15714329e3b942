#include "ui/actions.h"

#include <QActionGroup>
#include <QMenu>
#include <QMenuBar>
#include <QToolBar>
#include <QToolButton>

#include "ui/icons.h"

namespace vmxscope::ui {

namespace {

constexpr const char* kDrawing = "drawing";  // an action's property: the name of its icon

QAction* make(QMainWindow* window, const char* text, const char* icon, const QKeySequence& key, const char* tip) {
    auto* action = new QAction(QString::fromUtf8(text), window);
    action->setShortcut(key);
    const QString keys = key.toString(QKeySequence::NativeText);
    action->setToolTip(QString::fromUtf8(tip) + (keys.isEmpty() ? QString() : QStringLiteral(" (%1)").arg(keys)));
    action->setStatusTip(QString::fromUtf8(tip));
    action->setProperty(kDrawing, QString::fromLatin1(icon));
    window->addAction(action);
    return action;
}

}  // namespace

Actions::Actions(QMainWindow* w) {
    attach = make(w, "&Attach…", "attach", QKeySequence::Open, "Choose a nested guest and attach to it");
    detach = make(w, "&Detach", "detach", Qt::CTRL | Qt::SHIFT | Qt::Key_D, "Leave the target; its guest runs on");
    retry = make(w, "&Retry the connection", "", Qt::CTRL | Qt::Key_R, "Attach again to the last target");
    open_dump = make(w, "&Open VMCS dump…", "", Qt::CTRL | Qt::SHIFT | Qt::Key_O,
                     "Show a VMCS out of a kernel's log, a page of memory, a saved virtual machine");
    paste_dump =
        make(w, "&Paste VMCS dump", "", Qt::CTRL | Qt::SHIFT | Qt::Key_V, "Show the VMCS in the text on the clipboard");
    picture = make(w, "Save &picture…", "", QKeySequence::Save, "Save the window as a PNG file");
    quit = make(w, "&Quit", "", QKeySequence::Quit, "Leave the target and the program");

    step = make(w, "&Step", "step", Qt::Key_F10, "Run to the next transition of any kind");
    step_nested = make(w, "Next &nested", "nested", Qt::Key_F9, "Run to the next nested entry or exit");
    step_entry = make(w, "Next nested &entry", "entry", Qt::Key_F11, "Run to the next nested VM-entry (L1 to L2)");
    step_exit =
        make(w, "Next nested e&xit", "exit", Qt::SHIFT | Qt::Key_F11, "Run to the next nested VM-exit (L2 to L1)");
    step_entry->setIconText(QStringLiteral("Entry"));
    step_exit->setIconText(QStringLiteral("Exit"));
    step_nested->setIconText(QStringLiteral("Nested"));
    resume = make(w, "&Continue", "continue", Qt::Key_F5, "Let every vCPU run on");
    interrupt = make(w, "&Interrupt", "interrupt", Qt::Key_F6, "Stop at the next crossing");
    hold_others = make(w, "&Hold the other vCPUs while one steps", "", {}, "Instead of letting them run on meanwhile");

    find = make(w, "&Find", "find", QKeySequence::Find, "Find a field, an encoding, a value or a meaning");
    only_differences = make(w, "Only &differences", "differs", Qt::CTRL | Qt::Key_D,
                            "Show only fields whose vmcs12 and vmcs02 differ");
    only_differences->setIconText(QStringLiteral("Differences"));
    show_absent = make(w, "Show fields that &neither VMCS has", "", {}, "This processor and vmcs12's layout lack them");
    only_changed = make(w, "Only &changed", "", Qt::CTRL | Qt::Key_G, "Show only fields that the transition changed");
    evidence_none = make(w, "&None", "", {}, "Watch no VMREAD or VMWRITE: the guest runs fastest");
    evidence_pdptrs = make(w, "&PDPTRs", "", {}, "Watch the VMREADs and VMWRITEs that may be of the PDPTRs");
    evidence_all = make(w, "&All fields", "", {},
                        "Watch the VMREADs and VMWRITEs of every field: who wrote each value. It slows the guest down");
    previous = make(w, "&Previous transition", "", Qt::ALT | Qt::Key_Up, "Show the transition above in the list");
    next = make(w, "&Next transition", "", Qt::ALT | Qt::Key_Down, "Show the transition below in the list");
    live = make(w, "Go to &live", "", Qt::ALT | Qt::Key_End, "Show the newest stop");
    theme_system = make(w, "&System colours", "", {}, "Light or dark as the desktop is");
    theme_light = make(w, "&Light", "", {}, "Dark text on light ground");
    theme_dark = make(w, "&Dark", "", {}, "Light text on dark ground");
    about = make(w, "&About vmxscope", "", {}, "What this is");

    for (QAction* action : {hold_others, only_differences, only_changed, show_absent, evidence_none, evidence_pdptrs,
                            evidence_all, theme_system, theme_light, theme_dark})
        action->setCheckable(true);
    auto* scopes = new QActionGroup(w);
    for (QAction* action : {evidence_none, evidence_pdptrs, evidence_all}) scopes->addAction(action);
    evidence_pdptrs->setChecked(true);
    auto* themes = new QActionGroup(w);
    for (QAction* action : {theme_system, theme_light, theme_dark}) themes->addAction(action);
    for (const auto& [action, role] : {std::pair(quit, QAction::QuitRole), {about, QAction::AboutRole}})
        action->setMenuRole(role);
}

void Actions::enable(Session::State state, bool any, bool several) {
    using S = Session::State;
    const bool held = state == S::Held;
    attach->setEnabled(state != S::Attaching);
    detach->setEnabled(held || state == S::Running || state == S::Stopping);
    retry->setEnabled(state == S::Lost || state == S::Ended);
    for (QAction* action : {step, step_nested, step_entry, step_exit, resume}) action->setEnabled(held);
    interrupt->setEnabled(state == S::Running);
    hold_others->setEnabled(several);
    for (QAction* action : {find, only_differences, only_changed, previous, next, live}) action->setEnabled(any);
}

QMenu* Actions::fill(QMainWindow* window) {
    QMenuBar* bar = window->menuBar();
    QMenu* file = bar->addMenu(QStringLiteral("&File"));
    file->addActions({attach, detach, retry});
    file->addSeparator();
    file->addAction(open_dump);
    file->addSeparator();
    file->addAction(picture);
    file->addSeparator();
    file->addAction(quit);
    bar->addMenu(QStringLiteral("&Edit"))->addActions({paste_dump, find});
    QMenu* run = bar->addMenu(QStringLiteral("&Run"));
    run->addActions({step, step_nested, step_entry, step_exit});
    run->addSeparator();
    run->addActions({resume, interrupt});
    run->addSeparator();
    run->addAction(hold_others);
    QMenu* evidence = run->addMenu(QStringLiteral("&Evidence: VMREADs and VMWRITEs"));
    evidence->addActions({evidence_none, evidence_pdptrs, evidence_all});
    QMenu* view = bar->addMenu(QStringLiteral("&View"));
    view->addActions({only_differences, only_changed, show_absent});
    view->addSeparator();
    view->addActions({previous, next, live});
    view->addSeparator();
    QMenu* theme = view->addMenu(QStringLiteral("&Colours"));
    theme->addActions({theme_system, theme_light, theme_dark});
    bar->addMenu(QStringLiteral("&Help"))->addAction(about);
    fill_tools(window);
    recolour();
    return view;
}

void Actions::fill_tools(QMainWindow* window) {
    QToolBar* tools = window->addToolBar(QStringLiteral("Tools"));
    tools->setObjectName(QStringLiteral("tools"));
    tools->setMovable(false);
    tools->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
    tools->setIconSize({20, 20});
    tools->addActions({attach, detach});
    tools->addSeparator();
    tools->addActions({step, step_nested, step_entry, step_exit});
    tools->addSeparator();
    tools->addActions({resume, interrupt});
    tools->addSeparator();
    tools->addActions({find, only_differences});
    tools->addSeparator();
    evidence_button_ = new QToolButton(tools);
    evidence_button_->setPopupMode(QToolButton::InstantPopup);
    evidence_button_->setToolButtonStyle(Qt::ToolButtonTextOnly);
    evidence_button_->setToolTip(
        QStringLiteral("Which of KVM's VMREADs and VMWRITEs are watched. All of them slow the guest down."));
    auto* menu = new QMenu(evidence_button_);
    menu->addActions({evidence_none, evidence_pdptrs, evidence_all});
    evidence_button_->setMenu(menu);
    tools->addWidget(evidence_button_);
    show_evidence(nested::EvidenceScope::Pdptrs);
}

void Actions::show_evidence(nested::EvidenceScope scope) {
    QAction* actions[] = {evidence_none, evidence_pdptrs, evidence_all};
    QAction* action = actions[static_cast<std::size_t>(scope)];
    action->setChecked(true);
    evidence_button_->setText(QStringLiteral("Evidence: ") + action->text().remove(QLatin1Char('&')));
}

void Actions::recolour() {
    for (QAction* action :
         {attach, detach, step, step_nested, step_entry, step_exit, resume, interrupt, find, only_differences})
        action->setIcon(themed_icon(action->property(kDrawing).toString()));
}

}  // namespace vmxscope::ui
