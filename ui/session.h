// The GUI thread's side of a session: its state, and commands that never wait. The work is SessionWorker's.
#pragma once

#include <QObject>
#include <QThread>

#include "core/target_watcher.h"
#include "ui/session_worker.h"

namespace vmxscope::ui {

class Session : public QObject {
    Q_OBJECT

  public:
    enum class State {
        Idle,       // no target
        Attaching,  // with progress()
        Held,       // every vCPU is stopped
        Running,
        Stopping,  // asked to stop, not yet stopped
        Lost,      // the connection broke; retry() attaches again
        Ended,     // the guest is gone
    };
    Q_ENUM(State)

    explicit Session(const core::Backends& backends, QObject* parent = nullptr);
    /// Leaves the target (its guest runs on) and waits for the thread.
    ~Session() override;

    State state() const { return state_; }
    const QString& uri() const { return uri_; }
    const core::TargetInfo& info() const { return info_; }
    /// Of the newest target.
    core::Abilities abilities() const { return abilities_; }
    /// Attached to a target that steps instructions and has no transitions.
    bool instructions() const { return attached() && !abilities_.has(core::Ability::Transitions); }
    const QList<core::Vcpu>& vcpus() const { return vcpus_; }
    const core::History& history() const { return history_; }
    quint64 unfetched() const { return unfetched_; }
    /// seq of the newest stop, 0 before the first.
    quint64 live_seq() const { return live_seq_; }
    /// What the target's VMX can do; empty where it cannot tell, or not yet.
    const std::optional<core::TargetCapabilities>& capabilities() const { return capabilities_; }
    const QString& why_no_capabilities() const { return why_no_capabilities_; }
    /// Which VMREADs and VMWRITEs were asked for to be watched; empty: as the target does by itself.
    std::optional<nested::EvidenceScope> evidence() const { return evidence_; }
    /// Asks for memory(), or walked(), with the id returned. Only while held.
    quint64 read_memory(MemoryRequest request);
    quint64 walk(WalkRequest request);
    bool attached() const { return state_ == State::Held || state_ == State::Running || state_ == State::Stopping; }

  public slots:
    /// Asks for targets(), also where nothing has changed.
    void list_targets();
    /// Who shows a list of targets says so, and when no more: only meanwhile targets() comes by itself, at each change.
    void watch_targets(bool on);
    void attach(const QString& uri);
    void cancel_attach();
    /// Attaches again to the last target.
    void retry();
    void step(const vmxscope::ui::StepRequest& request);
    void resume();
    /// Lets the guest go and records it, until interrupt().
    void record(const vmxscope::ui::RecordRequest& request);
    void interrupt();
    void detach();
    /// From the next transition on; without a target, from the next attach.
    void set_evidence(vmxscope::nested::EvidenceScope scope);

  signals:
    void state_changed(vmxscope::ui::Session::State state);
    void targets(const QList<vmxscope::core::TargetName>& names);
    void progress(const QString& text, double fraction);
    /// A new connection begins; `again`: to the same target as the one before.
    void connected(bool again);
    void began(const vmxscope::core::trace::TraceInfo& info);
    void past(const vmxscope::ui::PastBlock& block);
    void stopped(const vmxscope::core::Stop& stop);
    void registers(const vmxscope::ui::Registers& registers);
    void caught_up();
    /// Anything that the status line shows has changed.
    void status_changed();
    /// A command, or the attach, failed. The session goes on as state() says.
    void trouble(const QString& what, const QString& remedy);
    void lost(const QString& what, const QString& remedy);
    void guest_gone(const QString& text);
    void memory(const vmxscope::ui::MemoryAnswer& answer);
    void walked(const vmxscope::ui::WalkAnswer& answer);
    void capabilities_changed();
    void evidence_changed();
    void recording(const vmxscope::ui::RecordProgress& progress);
    void recorded(const vmxscope::ui::Recorded& what);

    // To the worker's thread.
    void attach_wanted(const QString& uri);
    void step_wanted(const vmxscope::ui::StepRequest& request);
    void resume_wanted();
    void record_wanted(const vmxscope::ui::RecordRequest& request);
    void interrupt_wanted();
    void detach_wanted();
    void evidence_wanted(vmxscope::nested::EvidenceScope scope);
    void memory_wanted(const vmxscope::ui::MemoryRequest& request);
    void walk_wanted(const vmxscope::ui::WalkRequest& request);

  private:
    void set_state(State state);
    /// Where an attach that came to nothing leaves us: a lost connection is still there to be retried.
    void set_state_unattached();
    void connect_commands();
    void connect_answers();
    void connect_reports();

    int lists_shown_ = 0;
    core::TargetWatcher watcher_;
    QThread thread_;
    SessionWorker* worker_;  // deleted by its thread's end
    State state_ = State::Idle;
    QString uri_, attached_uri_;
    core::TargetInfo info_;
    core::Abilities abilities_;
    QList<core::Vcpu> vcpus_;
    core::History history_;
    quint64 unfetched_ = 0;
    quint64 live_seq_ = 0;
    std::optional<core::TargetCapabilities> capabilities_;
    QString why_no_capabilities_;
    std::optional<nested::EvidenceScope> evidence_;
    quint64 last_id_ = 0;
    bool was_lost_ = false;  // the last connection, to attached_uri_, broke
};

}  // namespace vmxscope::ui
