// Drives one core::Target from a thread of its own. All slots run in that thread (call them by queued signals);
// only cancel() and arm() may be called from elsewhere.
#pragma once

#include <QList>
#include <QObject>
#include <QString>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>

#include "core/target.h"
#include "ui/transition_list_model.h"

class QTimer;

namespace vmxscope::ui {

/// What the user asked for when letting vCPUs go.
struct StepRequest {
    core::StepKind kind = core::StepKind::Transition;
    std::optional<std::uint32_t> vcpu;  // empty = whichever stops first
    bool hold_others = false;           // with `vcpu`: the other vCPUs stay held instead of running on
};

class SessionWorker : public QObject {
    Q_OBJECT

  public:
    /// `backends` is used from the worker's thread alone and must outlive the worker.
    explicit SessionWorker(const core::Backends& backends);

    /// Asks the attach() that runs, or waits in the queue, to be given up. Any thread.
    void cancel() { cancelled_ = true; }
    /// To be called by who is about to ask for an attach(): forgets an earlier cancel(). Any thread.
    void arm() { cancelled_ = false; }
    /// Of the transitions that ran on without a stop, at most so many (the newest) are fetched for the list.
    static constexpr std::uint64_t kBackfill = 2'000;

  public slots:
    void list_targets();
    /// Blocks this thread until attached, failed or cancelled, with progress().
    void attach(const QString& uri);
    void step(const vmxscope::ui::StepRequest& request);
    void resume();
    void interrupt();
    void detach();
    /// Leaves the target without a signal: the program ends.
    void shut_down();

  signals:
    void targets(const QList<vmxscope::core::TargetName>& names);
    /// `fraction` < 0: how far is not known.
    void progress(const QString& text, double fraction);
    void attached(const vmxscope::core::TargetInfo& info);
    void attach_failed(const QString& what, const QString& remedy);
    void attach_cancelled();
    void resumed();
    void stopped(const vmxscope::core::Stop& stop);
    void transitions(const QList<vmxscope::ui::TransitionPtr>& list);
    void vcpus(const QList<vmxscope::core::Vcpu>& list);
    /// `unfetched`: transitions that ran on without a stop and were too many to fetch, since attach.
    void history(const vmxscope::core::History& history, quint64 unfetched);
    /// Everything that belongs to the last stop has been fetched.
    void caught_up();
    void command_failed(const QString& what, const QString& remedy);
    void lost(const QString& what, const QString& remedy);
    void guest_gone(const QString& text);
    void detached();

  private:
    struct Range {
        std::uint64_t first, last;
    };
    void poll();
    void handle(const core::Stop& stop);
    void fetch_around(const core::Stop& stop);
    void plan_backfill(const core::History& h, std::uint64_t shown);
    /// Fetches a few planned transitions. When a fetch fails, what is left is given up.
    core::Result<void> backfill(int count);
    void let_go(const std::vector<core::Action>& actions);
    void drop();

    const core::Backends& backends_;
    std::unique_ptr<core::Target> target_;
    QTimer* poll_timer_;
    std::atomic<bool> cancelled_ = false;
    bool running_ = false;
    std::deque<Range> wanted_;    // newest first: what happened just before the stop is of most interest
    std::uint64_t next_seq_ = 1;  // the lowest that was neither fetched, planned, nor given up
    std::uint64_t unfetched_ = 0;
};

}  // namespace vmxscope::ui

Q_DECLARE_METATYPE(vmxscope::ui::StepRequest)
