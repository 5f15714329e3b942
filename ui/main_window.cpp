#include "ui/main_window.h"

#include <QCloseEvent>
#include <QCoreApplication>
#include <QDialog>
#include <QFileDialog>
#include <QMenu>
#include <QMessageBox>
#include <QScreen>
#include <QSettings>
#include <QStackedWidget>
#include <QStatusBar>
#include <QTimer>
#include <QVBoxLayout>
#include <algorithm>

#include "ui/entry_check_panel.h"
#include "ui/field_panel.h"
#include "ui/findings_panel.h"
#include "ui/heading.h"
#include "ui/icons.h"
#include "ui/message_bar.h"
#include "ui/pdptr_panel.h"
#include "ui/roles.h"
#include "ui/start_page.h"
#include "ui/status_line.h"
#include "ui/target_picker.h"
#include "ui/text.h"
#include "ui/transition_list_view.h"
#include "ui/vmcs_view.h"

namespace vmxscope::ui {

namespace {

constexpr QSize kWanted{1720, 980};
constexpr int kLateMs = 100;  // earlier transitions come in batches: the past is told anew once for several

}  // namespace

MainWindow::MainWindow(Session& session, ThemeChoice theme, bool remember, QWidget* parent)
    : QMainWindow(parent),
      session_(session),
      remember_(remember),
      actions_(this),
      docks_(this, session, &list_),
      late_(new QTimer(this)) {
    setWindowTitle(QStringLiteral("vmxscope"));
    setWindowIcon(application_icon());
    make_layout();
    late_->setSingleShot(true);
    late_->setInterval(kLateMs);
    connect_actions();
    connect_views();
    connect_docks();
    connect_loader();
    connect_session();
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
    attaching_ = new AttachPage;
    vmcs_ = new VmcsView;
    for (QWidget* page :
         {static_cast<QWidget*>(welcome_), static_cast<QWidget*>(attaching_), static_cast<QWidget*>(vmcs_)})
        pages_->addWidget(page);
    auto* layout = new QVBoxLayout(centre);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(0);
    layout->addWidget(message_);
    layout->addWidget(pages_, 1);
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
        if (clicked) docks_.field_dock->raise();
    });
    connect(vmcs_, &VmcsView::field_activated, this, [this](vmx::Field field) {
        docks_.checks_dock->raise();
        docks_.checks->edit(field);
    });
    connect(welcome_->picker(), &TargetPicker::attach_asked, this, &MainWindow::attach);
    connect(attaching_, &AttachPage::cancelled, &session_, &Session::cancel_attach);
    connect(message_, &MessageBar::button_clicked, &session_, &Session::retry);
    connect(late_, &QTimer::timeout, this, [this] {
        if (!dump_ && shown_row() >= 0) show_shown(ui::shown_row(list_, shown_row()));
    });
}

void MainWindow::connect_docks() {
    connect(docks_.list, &TransitionListView::picked, this, &MainWindow::show_row);
    connect(docks_.findings, &FindingsPanel::picked, this, [this](const TransitionPtr& t, vmx::Field field) {
        const int row = list_.row_of(t);
        if (row < 0)
            return message_->say(MessageBar::Kind::Notice,
                                 QStringLiteral("#%1 is not in the list any more.").arg(t->seq),
                                 QStringLiteral("Its report can still be saved."));
        show_row(row);
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
    loader_.list_cpus();
}

void MainWindow::connect_session() {
    connect(&session_, &Session::state_changed, this, &MainWindow::update_state);
    connect(&session_, &Session::status_changed, this, [this] { status_->show_session(session_, list_.let_go()); });
    connect(&session_, &Session::targets, welcome_->picker(), &TargetPicker::set_targets);
    connect(&session_, &Session::progress, attaching_, &AttachPage::progress);
    connect(&session_, &Session::connected, this, &MainWindow::on_connected);
    connect(&session_, &Session::transitions, this, &MainWindow::on_transitions);
    connect(&session_, &Session::stopped, this, &MainWindow::on_stopped);
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
        message_->say(MessageBar::Kind::Error, what, remedy, retry ? QStringLiteral("Retry") : QString());
    });
    connect(&session_, &Session::guest_gone, this, [this](const QString& text) {
        message_->say(MessageBar::Kind::Notice, text.isEmpty() ? QStringLiteral("The guest has ended.") : text,
                      QStringLiteral("What was seen stays here."), QStringLiteral("Attach again"));
    });
}

void MainWindow::attach(const QString& uri) {
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
    connect(picker, &TargetPicker::attach_asked, dialog, [this, dialog](const QString& uri) {
        dialog->accept();
        attach(uri);
    });
    session_.list_targets();
    dialog->open();
}

void MainWindow::on_connected(bool again) {
    // What was seen stays visible, unless it was another guest's.
    if (again) {
        list_.begin_connection();
        docks_.findings->model().begin_connection();
    } else {
        list_.clear();
        docks_.findings->model().clear();
        show_row(-1);
    }
    const std::vector<std::string>& notes = session_.info().notes;
    QStringList lines;
    for (const std::string& note : notes) lines << qs(note);
    if (lines.empty())
        message_->clear();
    else
        message_->say(MessageBar::Kind::Notice, lines.join(QLatin1Char('\n')), {});
}

void MainWindow::on_transitions(const QList<TransitionPtr>& transitions) {
    list_.add(transitions);
    docks_.findings->model().add(transitions);
    // What is shown may lean on transitions that came only now: the one before it, or the one whose verdict it borrows.
    const int row = shown_row();
    if (row < 0 || dump_) return;
    const quint64 seq = list_.at(row)->seq;
    const auto earlier = [&](const TransitionPtr& t) { return t->seq < seq; };
    if (!std::any_of(transitions.begin(), transitions.end(), earlier)) return;
    docks_.pdptrs->show_row(list_, row);
    if (!late_->isActive()) late_->start();
}

void MainWindow::on_stopped(const core::Stop& stop) {
    docks_.list->show_vcpu_column(session_.vcpus().size() > 1);
    const bool first = !shown_.isValid();
    if (stop.seq != 0 && list_.row_of(stop.seq) >= 0) go_live();
    if (first) docks_.list->setFocus();
    if (stop.seq == 0) update_state();
}

void MainWindow::on_lost(const QString& what, const QString& remedy) {
    message_->say(MessageBar::Kind::Error, what, remedy, QStringLiteral("Retry"));
}

void MainWindow::step(core::StepKind kind) {
    session_.step({kind, status_->vcpu(), actions_.hold_others->isChecked()});
}

void MainWindow::show_row(int row) {
    dump_.reset();
    shown_ = row < 0 ? QPersistentModelIndex() : QPersistentModelIndex(list_.index(row, 0));
    show_values(row);
    docks_.list->select_row(row);
    update_away();
}

void MainWindow::show_values(int row) {
    docks_.pdptrs->show_row(list_, row);
    show_shown(ui::shown_row(list_, row));
    ask_pdptes();
    const bool failed = now_ && now_->entry_failed();
    if (failed && now_->transition->seq == session_.live_seq()) docks_.checks_dock->raise();
}

void MainWindow::show_shown(const ShownPtr& shown) {
    now_ = shown;
    const QString empty = session_.state() == Session::State::Held
                              ? QStringLiteral(
                                    "Held before the first transition.\n\nStep to it with F10, or to the first nested "
                                    "one with F9.")
                              : QStringLiteral("No transition has been seen yet.");
    vmcs_->show_shown(shown, empty);
    docks_.show_shown(shown);
}

void MainWindow::show_field(vmx::Field field) {
    vmcs_->select_field(field);
    docks_.field->show_field(field, session_.capabilities() ? &*session_.capabilities() : nullptr);
}

void MainWindow::raise_panel(const QString& name) {
    if (QDockWidget* dock = docks_.named(name)) dock->raise();
}

void MainWindow::update_away() {
    if (!shown_.isValid()) return vmcs_->head().set_live(0, 0);
    const bool earlier = shown_.data(EarlierRole).toBool();
    vmcs_->head().set_live(earlier ? 0 : shown_.data(SeqRole).toULongLong(), session_.live_seq());
}

void MainWindow::go_live() {
    const int row = list_.row_of(session_.live_seq());
    if (row >= 0) show_row(row);
}

void MainWindow::move_by(int steps) {
    const int row = docks_.list->neighbour(shown_row(), steps);
    if (row >= 0) show_row(row);
}

void MainWindow::update_state() {
    using S = Session::State;
    const S state = session_.state();
    const bool any = list_.rowCount() > 0;
    if (state == S::Attaching) {
        if (pages_->currentWidget() != attaching_) attaching_->begin(session_.uri());
        pages_->setCurrentWidget(attaching_);
    } else {
        attaching_->end();
        pages_->setCurrentWidget(any || dump_ || session_.attached() ? static_cast<QWidget*>(vmcs_) : welcome_);
        if (state == S::Idle) session_.list_targets();
    }
    const bool docks = any || dump_ || session_.attached();
    if (docks != docks_shown_) {
        docks_shown_ = docks;
        docks_.set_visible(docks);
    }
    if (!shown_.isValid() && !dump_) show_row(-1);
    actions_.enable(state, any || dump_, session_.vcpus().size() > 1);
    status_->show_session(session_, list_.let_go());
    const QString target = session_.uri();
    setWindowTitle(target.isEmpty() || state == S::Idle ? QStringLiteral("vmxscope")
                                                        : target + QStringLiteral(" – vmxscope"));
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
