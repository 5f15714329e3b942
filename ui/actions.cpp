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

void Actions::make_travel(QMainWindow* w) {
    back = make(w, "&Back", "back", Qt::ALT | Qt::Key_Left, "Look at the transition before this one; the guest stays");
    back_nested =
        make(w, "Back to a &nested one", "", Qt::ALT | Qt::Key_F9, "Look at the nested entry or exit before this one");
    back_entry =
        make(w, "Back to a nested &entry", "", Qt::ALT | Qt::Key_F11, "Look at the nested VM-entry before this one");
    back_exit = make(w, "Back to a nested e&xit", "", Qt::ALT | Qt::SHIFT | Qt::Key_F11,
                     "Look at the nested VM-exit before this one");
    forward = make(w, "For&ward", "forward", Qt::ALT | Qt::Key_Right,
                   "Look at the transition after this one; the guest stays");
    go_to = make(w, "&Go to…", "", Qt::CTRL | Qt::Key_G, "A number, a time, or the next that a condition holds for");
    filter = make(w, "&Filter the list", "", Qt::CTRL | Qt::SHIFT | Qt::Key_F, "Show only what a condition holds for");
    search_next = make(w, "Next &match", "", Qt::Key_F3, "The next transition that the condition holds for");
    search_previous =
        make(w, "Previous m&atch", "", Qt::SHIFT | Qt::Key_F3, "The transition before that the condition holds for");
    mark = make(w, "&Mark to compare", "", Qt::CTRL | Qt::Key_M, "What is shown next is compared with this transition");
    show_history = make(w, "Field &history", "", Qt::CTRL | Qt::SHIFT | Qt::Key_H,
                        "Every change of the selected field, and who made it");
    bookmark = make(w, "&Bookmark", "", Qt::CTRL | Qt::Key_B, "Sets a bookmark at this transition, or takes it away");
    note = make(w, "&Note…", "", Qt::CTRL | Qt::SHIFT | Qt::Key_B, "Write a note on this transition");
}

Actions::Actions(QMainWindow* w) {
    make_travel(w);
    attach = make(w, "&Attach…", "attach", QKeySequence::Open, "Choose a nested guest and attach to it");
    detach = make(w, "&Detach", "detach", Qt::CTRL | Qt::SHIFT | Qt::Key_D, "Leave the target; its guest runs on");
    retry = make(w, "&Retry the connection", "", Qt::CTRL | Qt::Key_R, "Attach again to the last target");
    open_trace = make(w, "Open &trace…", "", Qt::CTRL | Qt::Key_T, "Go through a recording; the target is left");
    save_session = make(w, "Sa&ve session…", "", Qt::CTRL | Qt::SHIFT | Qt::Key_S,
                        "Save what was seen so far as a trace file (.vxt)");
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
    record = make(w, "&Record…", "record", Qt::CTRL | Qt::SHIFT | Qt::Key_R,
                  "Let the guest run and record it into a trace file; the same again ends it");
    hold_others = make(w, "&Hold the other vCPUs while one steps", "", {}, "Instead of letting them run on meanwhile");

    find = make(w, "&Find", "find", QKeySequence::Find, "Find a field, an encoding, a value or a meaning");
    only_differences = make(w, "Only &differences", "differs", Qt::CTRL | Qt::Key_D,
                            "Show only fields whose vmcs12 and vmcs02 differ");
    only_differences->setIconText(QStringLiteral("Differences"));
    show_absent = make(w, "Show fields that &neither VMCS has", "", {}, "This processor and vmcs12's layout lack them");
    show_timeline = make(w, "&Timeline", "", {}, "Show the whole past in a strip below the fields");
    only_changed = make(w, "Only &changed", "", Qt::CTRL | Qt::Key_H, "Show only fields that the transition changed");
    evidence_none = make(w, "&None", "", {}, "Watch no VMREAD or VMWRITE: the guest runs fastest");
    evidence_pdptrs = make(w, "&PDPTRs", "", {}, "Watch the VMREADs and VMWRITEs that may be of the PDPTRs");
    evidence_all = make(w, "&All fields", "", {},
                        "Watch the VMREADs and VMWRITEs of every field: who wrote each value. It slows the guest down");
    previous = make(w, "&Previous transition", "", Qt::ALT | Qt::Key_Up, "Show the transition above in the list");
    next = make(w, "&Next transition", "", Qt::ALT | Qt::Key_Down, "Show the transition below in the list");
    live = make(w, "To the &present", "present", Qt::ALT | Qt::Key_End, "Show the newest transition");
    theme_system = make(w, "&System colours", "", {}, "Light or dark as the desktop is");
    theme_light = make(w, "&Light", "", {}, "Dark text on light ground");
    theme_dark = make(w, "&Dark", "", {}, "Light text on dark ground");
    about = make(w, "&About vmxscope", "", {}, "What this is");

    for (QAction* action : {hold_others, only_differences, only_changed, show_absent, show_timeline, evidence_none,
                            evidence_pdptrs, evidence_all, theme_system, theme_light, theme_dark})
        action->setCheckable(true);
    show_timeline->setChecked(true);
    auto* scopes = new QActionGroup(w);
    for (QAction* action : {evidence_none, evidence_pdptrs, evidence_all}) scopes->addAction(action);
    evidence_pdptrs->setChecked(true);
    auto* themes = new QActionGroup(w);
    for (QAction* action : {theme_system, theme_light, theme_dark}) themes->addAction(action);
    for (const auto& [action, role] : {std::pair(quit, QAction::QuitRole), {about, QAction::AboutRole}})
        action->setMenuRole(role);
}

void Actions::enable(Session::State state, bool any, bool several, bool instructions) {
    using S = Session::State;
    const bool held = state == S::Held;
    attach->setEnabled(state != S::Attaching);
    detach->setEnabled(held || state == S::Running || state == S::Stopping);
    retry->setEnabled(state == S::Lost || state == S::Ended);
    resume->setEnabled(held);
    record->setEnabled((held && !instructions) || (state == S::Running && record->isChecked()));
    interrupt->setEnabled(state == S::Running);
    hold_others->setEnabled(several);
    for (QAction* action : {find, only_differences, only_changed, previous, next, filter, go_to, search_next,
                            search_previous, mark, bookmark, note})
        action->setEnabled(any);
    held_ = held;
    instructions_ = instructions;
    step->setToolTip(instructions ? QStringLiteral("Run one instruction") : QStringLiteral("Run to the next transition of any kind"));
}

void Actions::enable_travel(bool past, bool future, bool guest) {
    for (QAction* action : {back, back_nested, back_entry, back_exit}) action->setEnabled(past);
    for (QAction* action : {forward, live}) action->setEnabled(future);
    for (QAction* action : {step, step_nested, step_entry, step_exit}) action->setEnabled(future || (guest && held_));
    if (instructions_)
        for (QAction* action : {step_nested, step_entry, step_exit}) action->setEnabled(false);
    save_session->setEnabled(guest || past || future);
}

QMenu* Actions::fill(QMainWindow* window) {
    QMenuBar* bar = window->menuBar();
    QMenu* file = bar->addMenu(QStringLiteral("&File"));
    file->addActions({attach, detach, retry});
    file->addSeparator();
    file->addActions({open_trace, save_session});
    file->addSeparator();
    file->addAction(open_dump);
    file->addSeparator();
    file->addAction(picture);
    file->addSeparator();
    file->addAction(quit);
    bar->addMenu(QStringLiteral("&Edit"))->addActions({paste_dump, find});
    QMenu* go = bar->addMenu(QStringLiteral("&Go"));
    go->addActions({go_to, filter, search_next, search_previous});
    go->addSeparator();
    go->addActions({previous, next});
    go->addSeparator();
    go->addActions({show_history, bookmark, note, mark});
    QMenu* run = bar->addMenu(QStringLiteral("&Run"));
    run->addActions({step, step_nested, step_entry, step_exit});
    run->addSeparator();
    run->addActions({back, back_nested, back_entry, back_exit});
    run->addActions({forward, live});
    run->addSeparator();
    run->addActions({resume, interrupt, record});
    run->addSeparator();
    run->addAction(hold_others);
    QMenu* evidence = run->addMenu(QStringLiteral("&Evidence: VMREADs and VMWRITEs"));
    evidence->addActions({evidence_none, evidence_pdptrs, evidence_all});
    QMenu* view = bar->addMenu(QStringLiteral("&View"));
    view->addActions({only_differences, only_changed, show_absent, show_timeline});
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
    tools->addActions({back, forward, live});
    tools->addSeparator();
    tools->addActions({step, step_nested, step_entry, step_exit});
    tools->addSeparator();
    tools->addActions({resume, interrupt, record});
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

void Actions::show_recording(bool on) {
    record->setCheckable(on);
    record->setChecked(on);
    record->setEnabled(true);
    record->setText(on ? QStringLiteral("End the &recording") : QStringLiteral("&Record…"));
}

void Actions::recolour() {
    for (QAction* action : {attach, detach, back, forward, live, step, step_nested, step_entry, step_exit, resume,
                            interrupt, record, find, only_differences})
        action->setIcon(themed_icon(action->property(kDrawing).toString()));
}

}  // namespace vmxscope::ui
