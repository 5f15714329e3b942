// Drives one core::Target from a thread of its own. All slots run in that thread (call them by queued signals);
// only cancel() and arm() may be called from elsewhere.
#pragma once

#include <QElapsedTimer>
#include <QList>
#include <QObject>
#include <QString>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "core/history_reader.h"
#include "core/recorder.h"
#include "core/target.h"
#include "ui/recording.h"
#include "ui/transition_list_model.h"

class QTimer;

namespace vmxscope::ui {

/// What the user asked for when letting vCPUs go.
struct StepRequest {
    core::StepKind kind = core::StepKind::Transition;
    std::optional<std::uint32_t> vcpu;  // empty = whichever stops first
    bool hold_others = false;           // with `vcpu`: the other vCPUs stay held instead of running on
};

/// Memory as the held vCPU sees it.
struct MemoryRequest {
    quint64 id = 0;
    std::uint32_t vcpu = 0;
    core::Space space = core::Space::L2Physical;
    quint64 address = 0;
    std::size_t size = 0;  // bytes, at most 64 KiB
};
struct MemoryAnswer {
    MemoryRequest request;
    std::vector<std::byte> bytes;  // request.size, or none
    QString error;                 // why there are none
};

/// What a guest-physical address of L2's becomes, in L1's EPT and in L0's.
struct WalkRequest {
    quint64 id = 0;
    std::uint32_t vcpu = 0;
    quint64 l2_physical = 0;
    vmx::Value eptp12, eptp02;  // EPT_POINTER of vmcs12 (unknown: L1 uses no EPT, or it was not read) and of vmcs02
};
struct WalkAnswer {
    WalkRequest request;
    std::optional<vmx::Walk> ept12, ept02;
    QString error12, error02;
};

/// The general registers of a vCPU that stopped, of a target that steps instructions.
struct Registers {
    std::uint32_t vcpu = 0;
    std::vector<core::RegisterBytes> all;
    QString error;  // why there are none
};

/// Transitions as the target sends them (core/trace/block.h). Of them, those from `first` to `last` are new, and may be
/// shown.
struct PastBlock {
    std::shared_ptr<const std::vector<std::byte>> bytes;
    std::uint64_t first = 0, last = 0;
};

class SessionWorker : public QObject {
    Q_OBJECT

  public:
    /// Targets are attached to in the worker's thread alone. `backends` must outlive the worker.
    explicit SessionWorker(const core::Backends& backends);

    /// Asks the attach() that runs, or waits in the queue, to be given up. Any thread.
    void cancel() { cancelled_ = true; }
    /// To be called by who is about to ask for an attach(): forgets an earlier cancel(). Any thread.
    void arm() { cancelled_ = false; }
  public slots:
    /// Blocks this thread until attached, failed or cancelled, with progress().
    void attach(const QString& uri);
    void step(const vmxscope::ui::StepRequest& request);
    void resume();
    void interrupt();
    void detach();
    void set_evidence(vmxscope::nested::EvidenceScope scope);
    /// Lets a held guest go and records it, until interrupt() or what the request says.
    void record(const vmxscope::ui::RecordRequest& request);
    void read_memory(const vmxscope::ui::MemoryRequest& request);
    void walk(const vmxscope::ui::WalkRequest& request);
    /// Leaves the target without a signal: the program ends.
    void shut_down();

  signals:
    /// `fraction` < 0: how far is not known.
    void progress(const QString& text, double fraction);
    void attached(const vmxscope::core::TargetInfo& info, vmxscope::core::Abilities abilities);
    void attach_failed(const QString& what, const QString& remedy);
    void attach_cancelled();
    void resumed();
    void stopped(const vmxscope::core::Stop& stop);
    /// With each stop of a target without transitions.
    void registers(const vmxscope::ui::Registers& registers);
    /// The first stop after an attach: what comes from now on is of this session.
    void began(const vmxscope::core::trace::TraceInfo& info);
    /// Once each, in order; also while vCPUs run.
    void past(const vmxscope::ui::PastBlock& block);
    void vcpus(const QList<vmxscope::core::Vcpu>& list);
    /// `unfetched`: transitions that the target had dropped from its past before they were fetched, since attach.
    void history(const vmxscope::core::History& history, quint64 unfetched);
    /// Everything that belongs to the last stop has been fetched.
    void caught_up();
    void command_failed(const QString& what, const QString& remedy);
    void lost(const QString& what, const QString& remedy);
    void guest_gone(const QString& text);
    void detached();
    void evidence_set(vmxscope::nested::EvidenceScope scope);
    void recording(const vmxscope::ui::RecordProgress& progress);
    void recorded(const vmxscope::ui::Recorded& what);
    void memory(const vmxscope::ui::MemoryAnswer& answer);
    void walked(const vmxscope::ui::WalkAnswer& answer);
    /// Once an attach, at the first stop. Empty, and why, where the target cannot tell.
    void capabilities(const std::optional<vmxscope::core::TargetCapabilities>& both, const QString& why_not);

  private:
    void poll();
    void handle(const core::Stop& stop);
    void begin();
    void ask_vcpus(bool gone);
    void ask_registers(std::uint32_t vcpu);
    /// Fetches a block of what happened since the last. False: that is all.
    core::Result<bool> pull();
    void catch_up();
    void record_on();
    void end_record();
    void let_go(const std::vector<core::Action>& actions);
    void drop();
    void ask_capabilities();
    std::optional<vmx::Walk> walk12(const WalkRequest& request, QString& error);
    std::optional<vmx::Walk> walk02(const WalkRequest& request, QString& error);

    const core::Backends& backends_;
    std::unique_ptr<core::Target> target_;
    QTimer* poll_timer_;
    std::atomic<bool> cancelled_ = false;
    bool running_ = false;
    bool behind_ = false;         // stopped, and not everything up to the stop is fetched yet
    core::HistoryReader history_;
    bool began_ = false;
    std::optional<core::TargetCapabilities> capabilities_;
    QElapsedTimer since_pull_;
    std::optional<core::Recorder> recorder_;  // while the guest runs and is recorded
    QString recorded_file_;
    vmx::EntryRules ept12_rules_, ept02_rules_;
};

}  // namespace vmxscope::ui

Q_DECLARE_METATYPE(vmxscope::ui::StepRequest)
Q_DECLARE_METATYPE(vmxscope::ui::MemoryRequest)
Q_DECLARE_METATYPE(vmxscope::ui::MemoryAnswer)
Q_DECLARE_METATYPE(vmxscope::ui::WalkRequest)
Q_DECLARE_METATYPE(vmxscope::ui::WalkAnswer)
Q_DECLARE_METATYPE(vmxscope::nested::EvidenceScope)
