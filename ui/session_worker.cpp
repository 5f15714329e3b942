#include "ui/session_worker.h"

#include <QTimer>
#include <algorithm>
#include <cstring>
#include <utility>

#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr std::chrono::milliseconds kWait{50};
constexpr const char* kNotHeld = "Memory is read while the guest is held. Interrupt it first (F6).";
constexpr int kPullMs = 250;  // how often a guest that runs is asked what it did

}  // namespace

SessionWorker::SessionWorker(const core::Backends& backends) : backends_(backends), poll_timer_(new QTimer(this)) {
    // Interval 0: between two waits the event loop runs the commands that arrived meanwhile.
    poll_timer_->setInterval(0);
    connect(poll_timer_, &QTimer::timeout, this, &SessionWorker::poll);
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
    history_ = {};
    running_ = behind_ = began_ = false;
    capabilities_.reset();
    emit attached(target_->info(), target_->abilities());
    poll_timer_->start();
}

void SessionWorker::poll() {
    if (!target_) return;
    // Held vCPUs are polled too: that is how a lost connection is noticed.
    auto stop = target_->wait(behind_ && !running_ ? std::chrono::milliseconds(0) : kWait);
    if (!stop) {
        end_record();
        drop();
        emit lost(qs(stop.error().what), qs(stop.error().remedy));
        return;
    }
    if (*stop) handle(**stop);
    if (recorder_) return record_on();
    if (target_ && began_ && (running_ ? since_pull_.elapsed() >= kPullMs : behind_)) catch_up();
}

void SessionWorker::handle(const core::Stop& stop) {
    running_ = false;
    behind_ = true;
    const bool gone = stop.why == core::Stop::Why::GuestGone;
    end_record();
    ask_vcpus(gone);
    if (!began_) begin();
    if (gone) {
        // What the guest did last is wanted most; a target that ended with it cannot be blamed for having it no more.
        for (auto more = pull(); more && *more; more = pull()) {
        }
        drop();
        emit guest_gone(qs(stop.text));
        return;
    }
    if (!target_->can(core::Ability::Transitions)) ask_registers(stop.vcpu);
    emit stopped(stop);
}

void SessionWorker::ask_registers(std::uint32_t vcpu) {
    auto all = target_->registers(vcpu);
    if (all)
        emit registers({vcpu, std::move(*all), {}});
    else
        emit registers({vcpu, {}, qs(all.error().text())});
}

void SessionWorker::catch_up() {
    since_pull_.start();
    const auto more = pull();
    if (!more) emit command_failed(qs(more.error().what), qs(more.error().remedy));
    if (running_ || (more && *more)) return;
    behind_ = false;
    emit caught_up();
}

void SessionWorker::record(const RecordRequest& request) {
    if (!target_ || running_) return;
    const auto refuse = [this](const core::Error& error) { emit command_failed(qs(error.what), qs(error.remedy)); };
    const auto kept = target_->history();
    if (!kept) return refuse(kept.error());
    core::trace::TraceInfo info = core::trace_info_of(*target_, request.settings.evidence, request.options.fields);
    // The file first: a guest that is to be recorded must not be left so when there is none.
    auto made = core::Recorder::create(request.options, std::move(info), kept->last);
    if (!made) return refuse(made.error());
    if (const auto ok = target_->record(request.settings); !ok) return refuse(ok.error());
    recorder_.emplace(std::move(*made));
    recorded_file_ = QString::fromStdString(request.options.path.string());
    emit recording({});
    let_go({{std::nullopt, std::nullopt}});
    if (!running_) end_record();
}

namespace {

RecordProgress progress_of(const core::Recorder& recorder) {
    RecordProgress p{recorder.transitions(), recorder.kept(), recorder.bytes(), 0, recorder.missed()};
    for (const auto& [vcpu, lost] : recorder.lost()) p.lost += lost;
    return p;
}

}  // namespace

void SessionWorker::record_on() {
    const auto ended = recorder_->pull(*target_);
    if (!ended) emit command_failed(qs(ended.error().what), qs(ended.error().remedy));
    if (since_pull_.elapsed() >= kPullMs) {
        since_pull_.start();
        emit recording(progress_of(*recorder_));
    }
    if (ended && !*ended) return;
    end_record();
    interrupt();
}

/// The vCPUs stand still, or are gone: what is left is taken, and the file is whole.
void SessionWorker::end_record() {
    if (!recorder_) return;
    core::Result<bool> rest = false;
    if (!running_) rest = recorder_->pull(*target_);
    const auto finished = recorder_->finish();
    // What was recorded is in its file; the list goes on after it.
    history_.pass_over(recorder_->last_seq());
    const Recorded all{recorded_file_, progress_of(*recorder_), recorder_->found().value_or(0)};
    recorder_.reset();
    if (!rest) emit command_failed(qs(rest.error().what), qs(rest.error().remedy));
    if (!finished) emit command_failed(qs(finished.error().what), qs(finished.error().remedy));
    emit recorded(all);
}

core::Result<bool> SessionWorker::pull() {
    auto piece = history_.next(*target_);
    if (!piece) return tl::unexpected(piece.error());
    if (*piece)
        emit past({std::make_shared<const std::vector<std::byte>>(std::move((*piece)->block)), (*piece)->first, (*piece)->last});
    emit history(history_.history(), history_.missed());
    return piece->has_value() && history_.unread() > 0;
}

void SessionWorker::begin() {
    began_ = true;
    ask_capabilities();
    core::trace::TraceInfo info = core::trace_info_of(*target_, nested::EvidenceScope::Pdptrs, {});
    info.capabilities = capabilities_;
    emit began(info);
}

void SessionWorker::ask_capabilities() {
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
    capabilities_ = *both;
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

void SessionWorker::ask_vcpus(bool gone) {
    if (auto list = target_->vcpus())
        emit vcpus(QList<core::Vcpu>(list->begin(), list->end()));
    else if (!gone)
        emit command_failed(qs(list.error().what), qs(list.error().remedy));
}

void SessionWorker::let_go(const std::vector<core::Action>& actions) {
    if (!target_ || running_) return;
    if (auto done = target_->resume(actions); !done) {
        emit command_failed(qs(done.error().what), qs(done.error().remedy));
        return;
    }
    running_ = true;
    since_pull_.start();
    emit resumed();
}

void SessionWorker::step(const StepRequest& request) {
    const bool instructions = target_ && !target_->can(core::Ability::Transitions);
    std::vector<core::Action> actions{{request.vcpu, instructions ? core::StepKind::Instruction : request.kind}};
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
    end_record();
    if (target_)
        if (auto done = target_->detach(); !done) emit command_failed(qs(done.error().what), qs(done.error().remedy));
    drop();
    emit detached();
}

void SessionWorker::shut_down() {
    end_record();
    if (target_) (void)target_->detach();
    drop();
}

void SessionWorker::drop() {
    poll_timer_->stop();
    running_ = behind_ = false;
    recorder_.reset();
    target_.reset();
}

}  // namespace vmxscope::ui
