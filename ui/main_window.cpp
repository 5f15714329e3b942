#include "ui/main_window.h"

#include <QCloseEvent>
#include <QCoreApplication>
#include <QDialog>
#include <QFileDialog>
#include <QFileInfo>
#include <QMenu>
#include <QMessageBox>
#include <QScreen>
#include <QSettings>
#include <QStackedWidget>
#include <QStatusBar>
#include <QVBoxLayout>

#include "ui/difference_panel.h"
#include "ui/entry_check_panel.h"
#include "ui/field_panel.h"
#include "ui/findings_panel.h"
#include "ui/heading.h"
#include "ui/history_panel.h"
#include "ui/icons.h"
#include "ui/message_bar.h"
#include "ui/notes_panel.h"
#include "ui/pdptr_panel.h"
#include "ui/registers_panel.h"
#include "ui/roles.h"
#include "ui/start_page.h"
#include "ui/status_line.h"
#include "ui/target_picker.h"
#include "ui/text.h"
#include "ui/timeline_strip.h"
#include "ui/transition_list_view.h"
#include "ui/vmcs_view.h"

namespace vmxscope::ui {

namespace {

constexpr QSize kWanted{1720, 980};
constexpr QLatin1String kTraceScheme{"trace:"};

}  // namespace

MainWindow::MainWindow(Session& session, ThemeChoice theme, bool remember, QWidget* parent)
    : QMainWindow(parent), session_(session), remember_(remember), actions_(this), docks_(this, session, &list_) {
    setWindowTitle(QStringLiteral("vmxscope"));
    setWindowIcon(application_icon());
    make_layout();
    setAcceptDrops(true);
    connect_actions();
    connect_views();
    connect_docks();
    connect_loader();
    connect_session();
    connect_travel();
    connect_time_docks();
    connect_strip();
    connect_recording();
    const QScreen* where = screen();
    resize(where ? kWanted.boundedTo(where->availableSize() - QSize(20, 40)) : kWanted);
    set_theme(theme);
    restore_settings();
    update_state();
    session_.list_targets();
}

MainWindow::~MainWindow() = default;

void MainWindow::make_layout() {
    auto* centre = new QWidget(this);
    message_ = new MessageBar(centre);
    pages_ = new QStackedWidget(centre);
    welcome_ = new WelcomePage;
    registers_ = new RegistersPanel;
    attaching_ = new AttachPage;
    vmcs_ = new VmcsView;
    strip_ = new TimelineStrip;
    strip_->hide();
    for (QWidget* page :
         {static_cast<QWidget*>(welcome_), static_cast<QWidget*>(attaching_), static_cast<QWidget*>(vmcs_),
          static_cast<QWidget*>(registers_)})
        pages_->addWidget(page);
    auto* layout = new QVBoxLayout(centre);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(0);
    layout->addWidget(message_);
    layout->addWidget(pages_, 1);
    layout->addWidget(strip_);
    setCentralWidget(centre);

    status_ = new StatusLine(this);
    statusBar()->addPermanentWidget(status_, 1);
    QMenu* view = actions_.fill(this);
    view->addSeparator();
    for (QDockWidget* dock : docks_.all()) view->addAction(dock->toggleViewAction());
}

void MainWindow::connect_actions() {
    const auto on = [this](QAction* action, auto what) { connect(action, &QAction::triggered, this, what); };
    on(actions_.attach, [this] { ask_attach(); });
    on(actions_.detach, [this] { session_.detach(); });
    on(actions_.retry, [this] { session_.retry(); });
    on(actions_.open_trace, [this] { ask_open_trace(); });
    on(actions_.save_session, [this] { ask_save_session(); });
    on(actions_.open_dump, [this] { ask_open_dump(); });
    on(actions_.paste_dump, [this] { paste_dump(); });
    on(actions_.evidence_none, [this] { session_.set_evidence(nested::EvidenceScope::None); });
    on(actions_.evidence_pdptrs, [this] { session_.set_evidence(nested::EvidenceScope::Pdptrs); });
    on(actions_.evidence_all, [this] { session_.set_evidence(nested::EvidenceScope::All); });
    on(actions_.picture, [this] { save_picture(); });
    on(actions_.quit, [this] { close(); });
    on(actions_.step, [this] { step(core::StepKind::Transition); });
    on(actions_.step_nested, [this] { step(core::StepKind::Nested); });
    on(actions_.step_entry, [this] { step(core::StepKind::Entry); });
    on(actions_.step_exit, [this] { step(core::StepKind::Exit); });
    on(actions_.back, [this] { step_back(core::StepKind::Transition); });
    on(actions_.back_nested, [this] { step_back(core::StepKind::Nested); });
    on(actions_.back_entry, [this] { step_back(core::StepKind::Entry); });
    on(actions_.back_exit, [this] { step_back(core::StepKind::Exit); });
    on(actions_.forward, [this] {
        if (in_past()) step(core::StepKind::Transition);
    });
    on(actions_.go_to, [this] { ask_go_to(); });
    on(actions_.filter, [this] {
        Docks::raise(docks_.list_dock);
        docks_.list->filter().focus();
    });
    on(actions_.search_next, [this] { search(core::Way::Forth); });
    on(actions_.search_previous, [this] { search(core::Way::Back); });
    on(actions_.mark, [this] {
        Docks::raise(docks_.difference_dock);
        docks_.difference->mark();
    });
    on(actions_.show_history, [this] { Docks::raise(docks_.history_dock); });
    on(actions_.bookmark, [this] { docks_.notes->toggle(); });
    on(actions_.note, [this] {
        Docks::raise(docks_.notes_dock);
        docks_.notes->edit();
    });
    on(actions_.show_timeline, [this] { update_state(); });
    on(actions_.record, [this] { toggle_record(); });
    on(actions_.resume, [this] { session_.resume(); });
    on(actions_.interrupt, [this] { session_.interrupt(); });
    on(actions_.find, [this] { vmcs_->focus_search(); });
    on(actions_.previous, [this] { move_by(-1); });
    on(actions_.next, [this] { move_by(+1); });
    on(actions_.live, [this] { go_live(); });
    on(actions_.theme_system, [this] { set_theme(ThemeChoice::System); });
    on(actions_.theme_light, [this] { set_theme(ThemeChoice::Light); });
    on(actions_.theme_dark, [this] { set_theme(ThemeChoice::Dark); });
    on(actions_.about, [this] { show_about(); });
}

void MainWindow::connect_views() {
    connect(actions_.only_differences, &QAction::toggled, vmcs_, &VmcsView::set_only_differences);
    connect(actions_.show_absent, &QAction::toggled, vmcs_, &VmcsView::set_show_absent);
    connect(actions_.only_changed, &QAction::toggled, vmcs_, &VmcsView::set_only_changed);
    connect(vmcs_, &VmcsView::only_differences_toggled, actions_.only_differences, &QAction::setChecked);
    connect(vmcs_, &VmcsView::only_changed_toggled, actions_.only_changed, &QAction::setChecked);
    connect(&vmcs_->head(), &Heading::go_live, this, &MainWindow::go_live);
    connect(&vmcs_->head(), &Heading::dump_picked, this, &MainWindow::show_dump);
    connect(&vmcs_->head(), &Heading::dump_closed, this, &MainWindow::close_dump);
    connect(vmcs_, &VmcsView::field_selected, this, [this](vmx::Field field, bool clicked) {
        docks_.field->show_field(field, session_.capabilities() ? &*session_.capabilities() : nullptr);
        docks_.history->show_field(field);
        if (clicked && !docks_.history->isVisible()) docks_.field_dock->raise();
    });
    connect(vmcs_, &VmcsView::field_activated, this, [this](vmx::Field field) {
        docks_.checks_dock->raise();
        docks_.checks->edit(field);
    });
    connect(welcome_->picker(), &TargetPicker::attach_asked, this, &MainWindow::attach);
    connect(welcome_, &WelcomePage::trace_asked, this, &MainWindow::open_trace);
    connect(welcome_, &WelcomePage::open_trace_asked, this, &MainWindow::ask_open_trace);
    connect(attaching_, &AttachPage::cancelled, &session_, &Session::cancel_attach);
}

void MainWindow::connect_docks() {
    connect(docks_.list, &TransitionListView::picked, this, &MainWindow::show_seq);
    connect(docks_.findings, &FindingsPanel::picked, this, [this](const TransitionPtr& t, vmx::Field field) {
        if (!all_.row_of(t->seq))
            return message_->say(MessageBar::Kind::Notice, QStringLiteral("#%1 is not kept any more.").arg(t->seq),
                                 QStringLiteral("Its report can still be saved."));
        show_seq(t->seq);
        show_field(field);
    });
    connect(docks_.findings, &FindingsPanel::save_asked, this, &MainWindow::ask_save_report);
    connect(&docks_.findings->model(), &FindingsModel::counts_changed, this, [this] {
        const quint64 found = docks_.findings->model().found();
        docks_.findings_dock->setWindowTitle(found ? QStringLiteral("⚑ %1").arg(found) : QStringLiteral("Findings"));
    });
    connect(docks_.checks, &EntryCheckPanel::cpu_wanted, &loader_, &Loader::load_cpu);
    connect(docks_.checks, &EntryCheckPanel::picked, vmcs_, &VmcsView::select_field);
}

void MainWindow::connect_loader() {
    connect(&loader_, &Loader::dump_loaded, this, &MainWindow::on_dump);
    connect(&loader_, &Loader::cpus_listed, docks_.checks, &EntryCheckPanel::set_cpus);
    connect(&loader_, &Loader::cpu_loaded, docks_.checks, &EntryCheckPanel::cpu_loaded);
    connect(&loader_, &Loader::failed, this, [this](const QString& what, const QString& remedy) {
        message_->say(MessageBar::Kind::Error, what, remedy);
    });
    connect(&loader_, &Loader::samples_listed, welcome_, &WelcomePage::set_samples);
    loader_.list_cpus();
    loader_.list_samples();
}

void MainWindow::connect_session() {
    connect(&session_, &Session::state_changed, this, &MainWindow::update_state);
    connect(&session_, &Session::status_changed, this, [this] { update_status(); });
    connect(&session_, &Session::targets, welcome_->picker(), &TargetPicker::set_targets);
    connect(welcome_->picker(), &TargetPicker::shown_changed, &session_, &Session::watch_targets);
    connect(&session_, &Session::progress, attaching_, &AttachPage::progress);
    connect(&session_, &Session::connected, this, &MainWindow::on_connected);
    connect(&session_, &Session::began, this, [this](const core::trace::TraceInfo& info) {
        strip_->set_tsc_khz(info.tsc_khz);
        travel_.ask([info](TravelWorker& w) { w.begin(info); });
    });
    connect(&session_, &Session::past, this,
            [this](const PastBlock& block) { travel_.ask([block](TravelWorker& w) { w.feed(block); }); });
    connect(&session_, &Session::caught_up, this, &MainWindow::go_live);
    connect(&session_, &Session::state_changed, this, [this](Session::State state) {
        if (state == Session::State::Idle || state == Session::State::Lost || state == Session::State::Ended)
            travel_.ask([](TravelWorker& w) { w.keep(); });
    });
    connect(&session_, &Session::stopped, this, &MainWindow::on_stopped);
    connect(&session_, &Session::registers, registers_, &RegistersPanel::show_registers);
    connect(&session_, &Session::lost, this, &MainWindow::on_lost);
    connect(&session_, &Session::memory, this, &MainWindow::on_memory);
    connect(&session_, &Session::capabilities_changed, this, &MainWindow::on_capabilities);
    connect(&session_, &Session::evidence_changed, this, [this] {
        if (session_.evidence()) actions_.show_evidence(*session_.evidence());
    });
    connect(&session_, &Session::trouble, this, [this](const QString& what, const QString& remedy) {
        const bool retry = session_.state() == Session::State::Lost;
        actions_.show_evidence(
            session_.evidence().value_or(nested::EvidenceScope::Pdptrs));  // it may have been refused
        message_->say(MessageBar::Kind::Error, what, remedy, retry ? retrying(QStringLiteral("Retry")) : MessageBar::Offer{});
    });
    connect(&session_, &Session::guest_gone, this, [this](const QString& text) {
        message_->say(MessageBar::Kind::Notice, text.isEmpty() ? QStringLiteral("The guest has ended.") : text,
                      QStringLiteral("What was seen stays here."), retrying(QStringLiteral("Attach again")));
    });
}

void MainWindow::attach(const QString& uri) {
    if (uri.startsWith(kTraceScheme)) return open_trace(uri.mid(kTraceScheme.size()));
    message_->clear();
    session_.attach(uri);
    if (remember_) QSettings().setValue(QStringLiteral("last_target"), session_.uri());
}

void MainWindow::ask_attach() {
    auto* dialog = new QDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setWindowTitle(QStringLiteral("Attach"));
    auto* picker = new TargetPicker(dialog);
    picker->set_uri(session_.uri());
    auto* layout = new QVBoxLayout(dialog);
    layout->addWidget(picker);
    dialog->resize(560, 420);
    connect(&session_, &Session::targets, picker, &TargetPicker::set_targets);
    connect(picker, &TargetPicker::shown_changed, &session_, &Session::watch_targets);
    connect(picker, &TargetPicker::attach_asked, dialog, [this, dialog](const QString& uri) {
        dialog->accept();
        attach(uri);
    });
    session_.list_targets();
    dialog->open();
}

void MainWindow::on_connected() {
    forget_past();
    const std::vector<std::string>& notes = session_.info().notes;
    QStringList lines;
    for (const std::string& note : notes) lines << qs(note);
    registers_->set_notes(notes);
    // A target without transitions has them on its page.
    if (lines.empty() || !session_.abilities().has(core::Ability::Transitions))
        message_->clear();
    else
        message_->say(MessageBar::Kind::Notice, lines.join(QLatin1Char('\n')), {});
}

void MainWindow::on_stopped(const core::Stop& stop) {
    docks_.list->show_vcpu_column(session_.vcpus().size() > 1);
    if (shown_seq() == 0) docks_.list->setFocus();
    if (stop.seq == 0) update_state();
}

MessageBar::Offer MainWindow::retrying(const QString& words) {
    return {words, [this] { session_.retry(); }};
}

void MainWindow::on_lost(const QString& what, const QString& remedy) {
    message_->say(MessageBar::Kind::Error, what, remedy, retrying(QStringLiteral("Retry")));
}

void MainWindow::show_shown(const ShownPtr& shown) {
    now_ = shown;
    const QString empty = session_.state() == Session::State::Held
                              ? QStringLiteral(
                                    "Held before the first transition.\n\nStep to it with F10, or to the first nested "
                                    "one with F9.")
                          : session_.state() == Session::State::Running
                              ? QStringLiteral("The guest runs.\n\nInterrupt it with F6.")
                              : QStringLiteral("No transition has been seen yet.");
    vmcs_->show_shown(shown, empty);
    docks_.show_shown(shown);
    strip_->set_cursor(shown && !shown->dump ? shown->transition->tsc : 0);
    update_past();
}

void MainWindow::show_field(vmx::Field field) {
    vmcs_->select_field(field);
    docks_.field->show_field(field, session_.capabilities() ? &*session_.capabilities() : nullptr);
}

void MainWindow::raise_panel(const QString& name) {
    if (QDockWidget* dock = docks_.named(name)) Docks::raise(dock);
}

void MainWindow::go_live() {
    if (present() != 0) show_seq(present());
}

void MainWindow::move_by(int steps) {
    const int row = list_.neighbour(shown_seq(), steps);
    if (row >= 0) show_seq(list_.seq_at(row));
}

void MainWindow::update_state() {
    using S = Session::State;
    const S state = session_.state();
    const bool any = !all_.empty();
    if (state == S::Attaching) {
        if (pages_->currentWidget() != attaching_) attaching_->begin(session_.uri());
        pages_->setCurrentWidget(attaching_);
    } else {
        attaching_->end();
        pages_->setCurrentWidget(session_.instructions()                      ? static_cast<QWidget*>(registers_)
                                 : any || dump_ || session_.attached() ? static_cast<QWidget*>(vmcs_)
                                                                       : welcome_);
        if (state == S::Running) registers_->show_running();
        if (state == S::Idle) session_.list_targets();
    }
    const bool docks = any || dump_ || (session_.attached() && !session_.instructions());
    if (docks != docks_shown_) {
        docks_shown_ = docks;
        docks_.set_visible(docks);
    }
    strip_->setVisible(any && !dump_ && state != S::Attaching && actions_.show_timeline->isChecked());
    if (!now_ && !dump_) show_shown(nullptr);
    actions_.enable(state, any || dump_, session_.vcpus().size() > 1, session_.instructions());
    update_past();
    const QString target = !trace_.isEmpty()  ? QFileInfo(trace_).fileName()
                           : state == S::Idle ? QString()
                                              : session_.uri();
    setWindowTitle(target.isEmpty() ? QStringLiteral("vmxscope") : target + QStringLiteral(" – vmxscope"));
}

void MainWindow::update_status() {
    if (trace_.isEmpty())
        status_->show_session(session_, dropped_);
    else
        status_->show_trace(opened_, all_.count());
}

void MainWindow::update_past() {
    const quint64 seq = shown_seq();
    const bool live = trace_.isEmpty() && session_.live_seq() != 0 && !follows_;
    vmcs_->head().set_live(live ? seq : 0, session_.live_seq());
    actions_.enable_travel(seq != 0 && seq > all_.first(), in_past(), trace_.isEmpty() && session_.attached());
    update_status();
}

void MainWindow::set_theme(ThemeChoice theme) {
    static const Theme desktop = system_theme();  // before the first use_theme() covers it
    use_theme(theme == ThemeChoice::System ? desktop : theme == ThemeChoice::Dark ? Theme::Dark : Theme::Light);
    QAction* checked = theme == ThemeChoice::System ? actions_.theme_system
                       : theme == ThemeChoice::Dark ? actions_.theme_dark
                                                    : actions_.theme_light;
    checked->setChecked(true);
    if (remember_) QSettings().setValue(QStringLiteral("theme"), static_cast<int>(theme));
    recolour();
}

void MainWindow::recolour() {
    actions_.recolour();
    vmcs_->recolour();
    docks_.recolour();
    message_->recolour();
    for (QWidget* widget : findChildren<QWidget*>()) widget->update();
}

void MainWindow::save_picture() {
    const QString file = QFileDialog::getSaveFileName(
        this, QStringLiteral("Save picture"), QStringLiteral("vmxscope.png"), QStringLiteral("Pictures (*.png)"));
    if (!file.isEmpty() && !grab().save(file))
        message_->say(MessageBar::Kind::Error, QStringLiteral("Cannot write %1.").arg(file),
                      QStringLiteral("Choose a folder that you may write to."));
}

void MainWindow::show_about() {
    QMessageBox::about(
        this, QStringLiteral("About vmxscope"),
        QStringLiteral(
            "<h3>vmxscope %1</h3><p>An interactive VMX debugger for nested virtualization on Linux/KVM: vmcs12 "
            "beside vmcs02, where every value came from, and what KVM did with the PDPTRs.</p><p>GPL-2.0-or-later</p>")
            .arg(QCoreApplication::applicationVersion()));
}

void MainWindow::restore_settings() {
    if (!remember_) return;
    const QSettings settings;
    restoreGeometry(settings.value(QStringLiteral("geometry")).toByteArray());
    welcome_->picker()->set_uri(settings.value(QStringLiteral("last_target")).toString());
}

void MainWindow::closeEvent(QCloseEvent* event) {
    if (remember_) QSettings().setValue(QStringLiteral("geometry"), saveGeometry());
    QMainWindow::closeEvent(event);
}

}  // namespace vmxscope::ui
