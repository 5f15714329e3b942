#include "ui/session_worker.h"

#include <QTimer>
#include <algorithm>
#include <cstring>

#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr std::chrono::milliseconds kWait{50};
constexpr const char* kNotHeld = "Memory is read while the guest is held. Interrupt it first (F6).";
constexpr int kFetchPerPoll = 8;  // so that a command waits for a few round trips at most

}  // namespace

SessionWorker::SessionWorker(const core::Backends& backends) : backends_(backends), poll_timer_(new QTimer(this)) {
    // Interval 0: between two waits the event loop runs the commands that arrived meanwhile.
    poll_timer_->setInterval(0);
    connect(poll_timer_, &QTimer::timeout, this, &SessionWorker::poll);
}

void SessionWorker::list_targets() {
    const std::vector<core::TargetName> names = backends_.list();
    emit targets(QList<core::TargetName>(names.begin(), names.end()));
}

void SessionWorker::attach(const QString& uri) {
    drop();
    const auto report = [this](std::string_view step, double fraction) {
        emit progress(qs(step), fraction);
        return !cancelled_;
    };
    auto target = backends_.attach(uri.toStdString(), report);
    // Cancelled wins over both: a target that came too late is left again, an error is only the cancelling's echo.
    if (cancelled_) {
        if (target) (void)(*target)->detach();
        emit attach_cancelled();
        return;
    }
    if (!target) {
        emit attach_failed(qs(target.error().what), qs(target.error().remedy));
        return;
    }
    target_ = std::move(*target);
    next_seq_ = 1;
    unfetched_ = 0;
    running_ = false;
    asked_capabilities_ = false;
    emit attached(target_->info());
    poll_timer_->start();
}

void SessionWorker::poll() {
    if (!target_) return;
    // Held vCPUs are polled too: that is how a lost connection is noticed.
    const bool busy = !running_ && !wanted_.empty();
    auto stop = target_->wait(busy ? std::chrono::milliseconds(0) : kWait);
    if (!stop) {
        drop();
        emit lost(qs(stop.error().what), qs(stop.error().remedy));
        return;
    }
    if (*stop) handle(**stop);
    if (target_ && !running_ && !wanted_.empty()) {
        if (auto done = backfill(kFetchPerPoll); !done)
            emit command_failed(qs(done.error().what), qs(done.error().remedy));
        if (wanted_.empty()) emit caught_up();
    }
}

void SessionWorker::handle(const core::Stop& stop) {
    running_ = false;
    fetch_around(stop);
    if (stop.why == core::Stop::Why::GuestGone) {
        // What the guest did last is wanted most; a target that ended with it cannot be blamed for having it no more.
        while (!wanted_.empty() && backfill(kFetchPerPoll)) {
        }
        drop();
        emit guest_gone(qs(stop.text));
        return;
    }
    if (!asked_capabilities_) ask_capabilities();
    emit stopped(stop);
    if (wanted_.empty()) emit caught_up();
}

void SessionWorker::ask_capabilities() {
    asked_capabilities_ = true;
    ept12_rules_ = ept02_rules_ = {};
    auto both = target_->capabilities();
    if (!both) {
        emit capabilities(std::nullopt, qs(both.error().text()));
        return;
    }
    for (const auto& [rules, caps] : {std::pair(&ept12_rules_, &both->l1), std::pair(&ept02_rules_, &both->l0)}) {
        const vmx::Value& ept = (*caps)[vmx::CapabilityMsr::EptVpidCap];
        rules->maxphyaddr = caps->maxphyaddr;
        rules->execute_only = !ept.known() || (ept.bits & 1);
    }
    emit capabilities(*both, {});
}

void SessionWorker::set_evidence(nested::EvidenceScope scope) {
    if (!target_) return;
    if (auto done = target_->set_evidence(scope); !done)
        emit command_failed(qs(done.error().what), qs(done.error().remedy));
    else
        emit evidence_set(scope);
}

void SessionWorker::read_memory(const MemoryRequest& request) {
    MemoryAnswer answer{request, {}, {}};
    if (!target_ || running_) {
        answer.error = QString::fromLatin1(kNotHeld);
    } else if (auto bytes = target_->read_memory(request.vcpu, request.space, request.address, request.size); !bytes) {
        answer.error = qs(bytes.error().text());
    } else {
        answer.bytes = std::move(*bytes);
    }
    emit memory(answer);
}

std::optional<vmx::Walk> SessionWorker::walk12(const WalkRequest& request, QString& error) {
    if (!request.eptp12.known()) {
        error = QStringLiteral("L1 uses no EPT for this L2, or EPT_POINTER of vmcs12 was not read.");
        return std::nullopt;
    }
    const auto read = [&](std::uint64_t physical) -> std::optional<std::uint64_t> {
        std::uint64_t qword = 0;
        auto bytes = target_->read_memory(request.vcpu, core::Space::L1Physical, physical, sizeof qword);
        if (!bytes || bytes->size() != sizeof qword) {
            error = bytes ? QStringLiteral("The target sent too few bytes.") : qs(bytes.error().text());
            return std::nullopt;
        }
        std::memcpy(&qword, bytes->data(), sizeof qword);
        return qword;
    };
    return vmx::walk_ept(request.eptp12.bits, request.l2_physical, ept12_rules_, read);
}

std::optional<vmx::Walk> SessionWorker::walk02(const WalkRequest& request, QString& error) {
    auto steps = target_->ept02_walk(request.vcpu, request.l2_physical);
    if (!steps) {
        error = qs(steps.error().text());
        return std::nullopt;
    }
    if (!request.eptp02.known()) {
        error = QStringLiteral("EPT_POINTER of vmcs02 was not read.");
        return std::nullopt;
    }
    // The same walk once more, over the entries that the target read: so both end in the same words.
    const auto read = [&](std::uint64_t physical) -> std::optional<std::uint64_t> {
        for (const vmx::WalkStep& step : *steps)
            if (step.address == physical) return step.entry;
        return std::nullopt;
    };
    return vmx::walk_ept(request.eptp02.bits, request.l2_physical, ept02_rules_, read);
}

void SessionWorker::walk(const WalkRequest& request) {
    WalkAnswer answer{request, {}, {}, {}, {}};
    if (!target_ || running_) {
        answer.error12 = answer.error02 = QString::fromLatin1(kNotHeld);
    } else {
        answer.ept12 = walk12(request, answer.error12);
        answer.ept02 = walk02(request, answer.error02);
    }
    emit walked(answer);
}

void SessionWorker::fetch_around(const core::Stop& stop) {
    const bool gone = stop.why == core::Stop::Why::GuestGone;
    if (auto list = target_->vcpus())
        emit vcpus(QList<core::Vcpu>(list->begin(), list->end()));
    else if (!gone)
        emit command_failed(qs(list.error().what), qs(list.error().remedy));

    std::uint64_t shown = 0;
    if (stop.seq != 0 && !gone) {
        auto t = target_->transition(stop.seq);
        if (t) {
            emit transitions({std::make_shared<const nested::Transition>(std::move(*t))});
            shown = stop.seq;
        } else {
            emit command_failed(qs(t.error().what), qs(t.error().remedy));
        }
    }
    if (auto h = target_->history()) {
        plan_backfill(*h, shown);
        emit history(*h, unfetched_);
    } else if (!gone) {
        emit command_failed(qs(h.error().what), qs(h.error().remedy));
    }
}

void SessionWorker::plan_backfill(const core::History& h, std::uint64_t shown) {
    if (h.last == 0 || h.last < next_seq_) return;
    std::uint64_t first = std::max(next_seq_, h.first);
    if (h.last - first >= kBackfill) first = h.last - kBackfill + 1;
    unfetched_ += first - next_seq_;
    next_seq_ = h.last + 1;
    const auto want = [this](std::uint64_t from, std::uint64_t to) {
        if (from <= to) wanted_.push_front({from, to});
    };
    if (shown >= first && shown <= h.last) {
        want(first, shown - 1);
        want(shown + 1, h.last);
    } else {
        want(first, h.last);
    }
}

core::Result<void> SessionWorker::backfill(int count) {
    QList<TransitionPtr> batch;
    core::Result<void> result;
    while (result && count-- > 0 && !wanted_.empty()) {
        Range& range = wanted_.front();
        auto t = target_->transition(range.last);
        if (!t) {
            for (const Range& r : wanted_) unfetched_ += r.last - r.first + 1;
            wanted_.clear();
            result = tl::unexpected(t.error());
            break;
        }
        batch.push_back(std::make_shared<const nested::Transition>(std::move(*t)));
        if (range.first == range.last--) wanted_.pop_front();
    }
    if (!batch.empty()) emit transitions(batch);
    return result;
}

void SessionWorker::let_go(const std::vector<core::Action>& actions) {
    if (!target_ || running_) return;
    if (auto done = target_->resume(actions); !done) {
        emit command_failed(qs(done.error().what), qs(done.error().remedy));
        return;
    }
    running_ = true;
    emit resumed();
}

void SessionWorker::step(const StepRequest& request) {
    std::vector<core::Action> actions{{request.vcpu, request.kind}};
    if (request.vcpu && !request.hold_others) actions.push_back({std::nullopt, std::nullopt});
    let_go(actions);
}

void SessionWorker::resume() {
    let_go({{std::nullopt, std::nullopt}});
}

void SessionWorker::interrupt() {
    if (!target_ || !running_) return;
    if (auto done = target_->interrupt(); !done) emit command_failed(qs(done.error().what), qs(done.error().remedy));
}

void SessionWorker::detach() {
    if (target_)
        if (auto done = target_->detach(); !done) emit command_failed(qs(done.error().what), qs(done.error().remedy));
    drop();
    emit detached();
}

void SessionWorker::shut_down() {
    if (target_) (void)target_->detach();
    drop();
}

void SessionWorker::drop() {
    poll_timer_->stop();
    wanted_.clear();
    running_ = false;
    target_.reset();
}

}  // namespace vmxscope::ui
