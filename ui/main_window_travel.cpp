// The part of the window that goes through time: in a trace file, or in the past of the session under way.
#include <QDateTime>
#include <QDir>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QMimeData>
#include <QTableView>

#include "ui/difference_panel.h"
#include "ui/entry_check_panel.h"
#include "ui/findings_panel.h"
#include "ui/go_to_dialog.h"
#include "ui/heading.h"
#include "ui/history_panel.h"
#include "ui/main_window.h"
#include "ui/message_bar.h"
#include "ui/notes_panel.h"
#include "ui/record_dialog.h"
#include "ui/status_line.h"
#include "ui/text.h"
#include "ui/timeline_strip.h"
#include "ui/transition_list_view.h"
#include "ui/vmcs_view.h"

namespace vmxscope::ui {

namespace {

constexpr QLatin1String kSuffix{".vxt"};

QString sessions_folder() { return qs(core::sessions_folder().string()); }

QString trace_filter() {
    return QStringLiteral("Traces (*.vxt);;All files (*)");
}

QString amount_text(const RecordProgress& p) {
    QString text = QStringLiteral("%1, %2 MiB")
                       .arg(counted(p.kept, QStringLiteral("transition")))
                       .arg(static_cast<double>(p.bytes) / (1 << 20), 0, 'f', 1);
    if (p.lost) text += QStringLiteral(", ⚠ %1 lost").arg(counted(p.lost, QStringLiteral("record")));
    if (p.missed) text += QStringLiteral(", ⚠ %1 missed").arg(counted(p.missed, QStringLiteral("transition")));
    return text;
}

}  // namespace

void MainWindow::connect_travel() {
    TravelWorker& w = travel_.worker();
    if (remember_) travel_.ask([](TravelWorker& worker) { worker.keep_in(sessions_folder()); });
    connect(&w, &TravelWorker::opened, this, &MainWindow::on_opened);
    connect(&w, &TravelWorker::open_failed, this, [this](const QString& what, const QString& remedy) {
        message_->say(MessageBar::Kind::Error, what, remedy);
        emit trace_failed(remedy.isEmpty() ? what : what + QLatin1Char(' ') + remedy);
    });
    connect(&w, &TravelWorker::grown, this, &MainWindow::on_grown);
    connect(&w, &TravelWorker::findings, this,
            [this](const QList<TransitionPtr>& with, quint64 without) { docks_.findings->model().add(with, without); });
    connect(&w, &TravelWorker::rows, &list_, &TransitionListModel::take);
    connect(&w, &TravelWorker::shown, this, &MainWindow::on_shown);
    connect(&w, &TravelWorker::found, this, &MainWindow::show_seq);
    connect(&w, &TravelWorker::not_found, this, [this](const QString& why) {
        told_ = true;
        message_->say(MessageBar::Kind::Notice, why, {});
    });
    connect(&w, &TravelWorker::searching, this, [this](double done) {
        if (done < 1) {
            told_ = true;
            message_->say(MessageBar::Kind::Notice, QStringLiteral("Looking … %1 %").arg(static_cast<int>(done * 100)), {},
                          {QStringLiteral("Stop"), [this] { travel_.worker().stop(); }});
        } else if (told_) {
            told_ = false;
            message_->clear();
        }
    });
    connect(&w, &TravelWorker::failed, this, [this](const QString& what, const QString& remedy) {
        message_->say(MessageBar::Kind::Error, what, remedy);
    });
    connect(&w, &TravelWorker::saved, this, [this](const QString& file, bool asked) {
        if (asked) message_->say(MessageBar::Kind::Notice, QStringLiteral("The session is in %1.").arg(file), {});
    });
    connect(&w, &TravelWorker::filtered, this, [this](quint64 ticket, const Runs& more, bool fresh, double done) {
        if (ticket != filter_ticket_) return;
        if (fresh)
            list_.reset(more, true);
        else
            list_.append(more);
        docks_.list->filter().set_counts(static_cast<quint64>(list_.rowCount()), all_.count(), done);
        if (fresh || list_.row_of(shown_seq()) >= 0) docks_.list->select(shown_seq());
    });
    connect(&list_, &TransitionListModel::wanted, this,
            [this](const Runs& rows) { travel_.ask_now([rows](TravelWorker& worker) { worker.fetch_rows(rows); }); });
    connect(&docks_.list->filter(), &FilterBar::changed, this, &MainWindow::filter);
}

void MainWindow::connect_time_docks() {
    TravelWorker& w = travel_.worker();
    connect(&w, &TravelWorker::history_of, docks_.history, &HistoryPanel::show_changes);
    connect(&w, &TravelWorker::compared, docks_.difference, &DifferencePanel::show_differences);
    connect(docks_.history, &HistoryPanel::asked, this, [this](vmx::Field field, quint32 vcpu) {
        travel_.worker().stop();
        travel_.ask([field, vcpu](TravelWorker& worker) { worker.history(field, vcpu); });
    });
    connect(docks_.history, &HistoryPanel::last_change_asked, this,
            [this](vmx::Field field, quint32 vcpu, quint64 from) {
                travel_.worker().stop();
                travel_.ask_now([field, vcpu, from](TravelWorker& worker) { worker.last_change(field, vcpu, from); });
            });
    connect(docks_.history, &HistoryPanel::picked, this, &MainWindow::show_seq);
    connect(docks_.difference, &DifferencePanel::asked, this,
            [this](quint64 a, quint64 b) { travel_.ask_now([a, b](TravelWorker& worker) { worker.compare(a, b); }); });
    connect(docks_.difference, &DifferencePanel::picked, this, &MainWindow::show_seq);
    connect(&w, &TravelWorker::notes, this, [this](const Notes& notes) {
        docks_.notes->show_notes(notes);
        std::vector<quint64> seqs;
        for (const auto& [seq, note] : notes) seqs.push_back(seq);
        list_.set_bookmarks(seqs);
        strip_->outdated();
    });
    connect(docks_.notes, &NotesPanel::set_asked, this, [this](quint64 seq, const QString& note) {
        travel_.ask_now([seq, note](TravelWorker& worker) { worker.set_note(seq, note); });
    });
    connect(docks_.notes, &NotesPanel::remove_asked, this,
            [this](quint64 seq) { travel_.ask_now([seq](TravelWorker& worker) { worker.remove_note(seq); }); });
    connect(docks_.notes, &NotesPanel::picked, this, &MainWindow::show_seq);
}

void MainWindow::connect_recording() {
    connect(&session_, &Session::recording, this, [this](const RecordProgress& p) {
        recording_ = true;
        actions_.show_recording(true);
        message_->say(MessageBar::Kind::Notice, QStringLiteral("● Recording: ") + amount_text(p),
                      QStringLiteral("Stop it with Ctrl+Shift+R."));
    });
    connect(&session_, &Session::recorded, this, [this](const Recorded& r) {
        recording_ = false;
        actions_.show_recording(false);
        QString what = QStringLiteral("%1: %2.").arg(r.file, amount_text(r.all));
        if (r.found) what += QStringLiteral(" #%1 ended it.").arg(r.found);
        message_->say(MessageBar::Kind::Notice, what, {},
                      {QStringLiteral("Open it"), [this, file = r.file] { open_trace(file); }});
    });
}

void MainWindow::toggle_record() {
    if (recording_) return session_.interrupt();
    const QString name = QDateTime::currentDateTime().toString(QStringLiteral("'recording-'yyyyMMdd-HHmmss'.vxt'"));
    auto* dialog = new RecordDialog(QDir::current().filePath(name), this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &RecordDialog::asked, &session_, &Session::record);
    dialog->open();
}

void MainWindow::connect_strip() {
    TravelWorker& w = travel_.worker();
    connect(&w, &TravelWorker::sampled, this, [this](const StripPicture& picture) {
        strip_->show_picture(picture);
        if (picture.lanes.size() > 1) docks_.list->show_vcpu_column(true);
    });
    connect(&w, &TravelWorker::surveyed, strip_, &TimelineStrip::outdated);
    connect(strip_, &TimelineStrip::asked, this, [this](const StripRequest& request) {
        travel_.ask([request](TravelWorker& worker) { worker.sample(request); });
    });
    connect(strip_, &TimelineStrip::picked_mark, this, &MainWindow::show_seq);
    connect(strip_, &TimelineStrip::picked, this,
            [this](quint64 tsc) { travel_.ask_now([tsc](TravelWorker& worker) { worker.go_to_tsc(tsc); }); });
}

void MainWindow::open_trace(const QString& file) {
    message_->clear();
    travel_.worker().stop();
    travel_.ask_now([file](TravelWorker& w) { w.open(file); });
}

void MainWindow::open(const QString& what) {
    if (what.endsWith(kSuffix, Qt::CaseInsensitive) && QFileInfo::exists(what)) return open_trace(what);
    if (QFileInfo::exists(what)) return open_dump(what);
    attach(what);
}

void MainWindow::forget_past() {
    ++filter_ticket_;
    trace_.clear();
    opened_ = {};
    all_ = {};
    dropped_ = wanted_ = 0;
    dump_.reset();
    list_.reset({}, false);
    docks_.findings->model().clear();
    docks_.history->forget();
    docks_.difference->forget();
    strip_->forget();
    show_shown(nullptr);
}

void MainWindow::on_opened(const OpenedTrace& trace) {
    session_.detach();
    forget_past();
    trace_ = trace.file;
    opened_ = trace;
    strip_->set_tsc_khz(trace.info.tsc_khz);
    all_ = trace.rows;
    list_.reset(all_, false);
    docks_.list->show_vcpu_column(false);  // until more than one is known of
    docks_.list->fit_numbers(std::max<quint64>(all_.last(), 9'999));
    docks_.checks->set_capabilities(trace.info.capabilities,
                                    QStringLiteral("The trace does not tell the VMX capabilities."));
    filter(docks_.list->filter().applied());
    update_state();
    if (!trace.damage.isEmpty())
        message_->say(MessageBar::Kind::Notice, trace.damage.mid(0, 3).join(QLatin1Char('\n')), {});
    docks_.list->setFocus();
    show_seq(all_.first());
}

void MainWindow::on_grown(const Runs& more, quint64 first, quint64 dropped) {
    if (!trace_.isEmpty()) return;
    const bool had = !all_.empty();
    all_.add(more);
    all_.drop_before(first);
    dropped_ = dropped;
    if (docks_.list->filter().applied().isEmpty()) list_.append(more);
    list_.drop_before(first);
    docks_.history->outdated();
    strip_->outdated();
    if (!had) filter(docks_.list->filter().applied());
    if (had)
        update_past();
    else
        update_state();
}

void MainWindow::show_seq(quint64 seq) {
    wanted_ = seq;
    follows_ = seq == present();
    if (seq == 0) return show_shown(nullptr);
    travel_.ask_now([seq](TravelWorker& w) { w.show(seq); });
}

void MainWindow::on_shown(const ShownPtr& shown) {
    const quint64 seq = shown->transition->seq;
    if (seq != wanted_) return;  // somebody went on meanwhile
    if (dump_) {
        dump_.reset();
        update_state();
    }
    show_shown(shown);
    docks_.list->select(seq);
    ask_pdptes();
    if (shown->entry_failed() && seq == session_.live_seq()) docks_.checks_dock->raise();
    emit shown_changed();
}

void MainWindow::filter(const QString& condition) {
    const quint64 ticket = ++filter_ticket_;
    if (condition.isEmpty()) {
        list_.reset(all_, false);
        docks_.list->select(shown_seq());
    } else {
        docks_.list->filter().set_counts(0, all_.count(), 0);
    }
    travel_.ask_now([condition, ticket](TravelWorker& w) { w.filter(condition, ticket); });
}

void MainWindow::step(core::StepKind kind) {
    if (in_past()) {
        const quint64 from = shown_seq();
        travel_.ask_now([from, kind](TravelWorker& w) { w.step(from, kind, core::Way::Forth); });
    } else if (trace_.isEmpty()) {
        session_.step({kind, status_->vcpu(), actions_.hold_others->isChecked()});
    }
}

void MainWindow::step_back(core::StepKind kind) {
    const quint64 from = shown_seq();
    if (from == 0) return;
    travel_.ask_now([from, kind](TravelWorker& w) { w.step(from, kind, core::Way::Back); });
}

void MainWindow::search(core::Way way) {
    const QString applied = docks_.list->filter().applied();
    const QString condition = applied.isEmpty() ? looked_for_ : applied;
    if (condition.isEmpty()) return ask_go_to();
    const quint64 from = shown_seq();
    travel_.worker().stop();
    travel_.ask_now([condition, from, way](TravelWorker& w) { w.search(condition, from, way); });
}

void MainWindow::go_to(const QString& what) {
    if (!is_number_or_time(what)) looked_for_ = what;
    const quint64 from = shown_seq();
    travel_.worker().stop();
    travel_.ask_now([what, from](TravelWorker& w) { w.go_to(what, from); });
}

void MainWindow::ask_go_to() {
    auto* dialog = new GoToDialog(looked_for_, this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &GoToDialog::asked, this, &MainWindow::go_to);
    dialog->open();
}

void MainWindow::ask_open_trace() {
    const QString file = QFileDialog::getOpenFileName(this, QStringLiteral("Open trace"),
                                                      remember_ ? sessions_folder() : QString(), trace_filter());
    if (!file.isEmpty()) open_trace(file);
}

void MainWindow::ask_save_session() {
    const QString file = QFileDialog::getSaveFileName(this, QStringLiteral("Save session"),
                                                      QStringLiteral("session.vxt"), trace_filter());
    if (!file.isEmpty()) save_session(file);
}

void MainWindow::save_session(const QString& file) {
    travel_.ask([file](TravelWorker& w) { w.save(file); });
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
    if (event->mimeData()->hasUrls()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
    for (const QUrl& url : event->mimeData()->urls())
        if (url.isLocalFile()) return open(url.toLocalFile());
}

}  // namespace vmxscope::ui
