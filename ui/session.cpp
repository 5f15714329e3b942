#include "ui/session.h"

namespace vmxscope::ui {

Session::Session(const core::Backends& backends, QObject* parent)
    : QObject(parent),
      watcher_(backends,
               [this](const std::vector<core::TargetName>& now) {
                   // Queued: this is the watcher's thread. Dropped with this object.
                   const QList<core::TargetName> names(now.begin(), now.end());
                   QMetaObject::invokeMethod(
                       this, [this, names] { emit targets(names); }, Qt::QueuedConnection);
               }),
      worker_(new SessionWorker(backends)) {
    watcher_.pause(true);
    qRegisterMetaType<StepRequest>();
    qRegisterMetaType<MemoryRequest>();
    qRegisterMetaType<MemoryAnswer>();
    qRegisterMetaType<WalkRequest>();
    qRegisterMetaType<WalkAnswer>();
    qRegisterMetaType<nested::EvidenceScope>();
    worker_->moveToThread(&thread_);
    connect(&thread_, &QThread::finished, worker_, &QObject::deleteLater);
    connect_commands();
    connect_answers();
    connect_reports();
    thread_.setObjectName(QStringLiteral("session"));
    thread_.start();
}

Session::~Session() {
    worker_->cancel();
    // Reports that are still under way would reach a half-destroyed object.
    worker_->disconnect(this);
    QMetaObject::invokeMethod(worker_, &SessionWorker::shut_down, Qt::BlockingQueuedConnection);
    thread_.quit();
    thread_.wait();
}

void Session::connect_commands() {
    connect(this, &Session::attach_wanted, worker_, &SessionWorker::attach);
    connect(this, &Session::step_wanted, worker_, &SessionWorker::step);
    connect(this, &Session::resume_wanted, worker_, &SessionWorker::resume);
    connect(this, &Session::record_wanted, worker_, &SessionWorker::record);
    connect(this, &Session::interrupt_wanted, worker_, &SessionWorker::interrupt);
    connect(this, &Session::detach_wanted, worker_, &SessionWorker::detach);
    connect(this, &Session::evidence_wanted, worker_, &SessionWorker::set_evidence);
    connect(this, &Session::memory_wanted, worker_, &SessionWorker::read_memory);
    connect(this, &Session::walk_wanted, worker_, &SessionWorker::walk);
}

/// Those that are passed on as they are.
void Session::connect_answers() {
    using W = SessionWorker;
    connect(worker_, &W::progress, this, &Session::progress);
    connect(worker_, &W::began, this, &Session::began);
    connect(worker_, &W::past, this, &Session::past);
    connect(worker_, &W::registers, this, &Session::registers);
    connect(worker_, &W::caught_up, this, &Session::caught_up);
    connect(worker_, &W::command_failed, this, &Session::trouble);
    connect(worker_, &W::recording, this, &Session::recording);
    connect(worker_, &W::recorded, this, &Session::recorded);
    connect(worker_, &W::memory, this, &Session::memory);
    connect(worker_, &W::walked, this, &Session::walked);
}

void Session::connect_reports() {
    using W = SessionWorker;
    connect(worker_, &W::attached, this, [this](const core::TargetInfo& info, core::Abilities abilities) {
        info_ = info;
        abilities_ = abilities;
        vcpus_.clear();
        history_ = {};
        unfetched_ = live_seq_ = 0;
        const bool again = attached_uri_ == uri_;
        attached_uri_ = uri_;
        was_lost_ = false;
        capabilities_.reset();
        why_no_capabilities_ = QStringLiteral("The target has not told its VMX capabilities yet.");
        emit capabilities_changed();
        emit connected(again);
        if (evidence_) emit evidence_wanted(*evidence_);
        // Until the first stop is reported, the guest may still be on its way to it.
        set_state(State::Running);
    });
    connect(worker_, &W::attach_failed, this, [this](const QString& what, const QString& remedy) {
        set_state_unattached();
        emit trouble(what, remedy);
    });
    connect(worker_, &W::attach_cancelled, this, &Session::set_state_unattached);
    connect(worker_, &W::resumed, this, [this] { set_state(State::Running); });
    connect(worker_, &W::vcpus, this, [this](const QList<core::Vcpu>& list) {
        vcpus_ = list;
        emit status_changed();
    });
    connect(worker_, &W::history, this, [this](const core::History& h, quint64 unfetched) {
        history_ = h;
        unfetched_ = unfetched;
        emit status_changed();
    });
    connect(worker_, &W::stopped, this, [this](const core::Stop& stop) {
        if (stop.seq != 0) live_seq_ = stop.seq;
        set_state(State::Held);
        emit stopped(stop);
    });
    connect(worker_, &W::lost, this, [this](const QString& what, const QString& remedy) {
        was_lost_ = true;
        set_state(State::Lost);
        emit lost(what, remedy);
    });
    connect(worker_, &W::guest_gone, this, [this](const QString& text) {
        set_state(State::Ended);
        emit guest_gone(text);
    });
    connect(worker_, &W::capabilities, this,
            [this](const std::optional<core::TargetCapabilities>& both, const QString& why_not) {
                capabilities_ = both;
                why_no_capabilities_ = why_not;
                emit capabilities_changed();
            });
    connect(worker_, &W::evidence_set, this, [this](nested::EvidenceScope scope) {
        evidence_ = scope;
        emit evidence_changed();
    });
    connect(worker_, &W::detached, this, [this] { set_state(State::Idle); });
}

void Session::set_state(State state) {
    if (state_ != state) {
        state_ = state;
        emit state_changed(state);
    }
    emit status_changed();
}

void Session::set_state_unattached() {
    set_state(attached_uri_ == uri_ && was_lost_ ? State::Lost : State::Idle);
}

void Session::list_targets() {
    watcher_.refresh();
}

void Session::watch_targets(bool on) {
    lists_shown_ += on ? 1 : -1;
    watcher_.pause(lists_shown_ == 0);
}

void Session::attach(const QString& uri) {
    if (state_ == State::Attaching || uri.trimmed().isEmpty()) return;
    uri_ = uri.trimmed();
    set_state(State::Attaching);
    worker_->arm();
    emit attach_wanted(uri_);
}

void Session::cancel_attach() {
    if (state_ == State::Attaching) worker_->cancel();
}

void Session::retry() {
    attach(uri_);
}

void Session::step(const StepRequest& request) {
    if (state_ == State::Held) emit step_wanted(request);
}

void Session::resume() {
    if (state_ == State::Held) emit resume_wanted();
}

void Session::record(const RecordRequest& request) {
    if (state_ == State::Held) emit record_wanted(request);
}

void Session::interrupt() {
    if (state_ != State::Running) return;
    set_state(State::Stopping);
    emit interrupt_wanted();
}

void Session::set_evidence(nested::EvidenceScope scope) {
    if (attached()) {
        emit evidence_wanted(scope);  // the target may refuse
    } else {
        evidence_ = scope;
        emit evidence_changed();
    }
}

quint64 Session::read_memory(MemoryRequest request) {
    request.id = ++last_id_;
    emit memory_wanted(request);
    return request.id;
}

quint64 Session::walk(WalkRequest request) {
    request.id = ++last_id_;
    emit walk_wanted(request);
    return request.id;
}

void Session::detach() {
    if (attached()) emit detach_wanted();
}

}  // namespace vmxscope::ui
