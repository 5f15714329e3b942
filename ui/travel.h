// The GUI thread's side of a past: asks, and never waits. Answers are the worker's signals.
#pragma once

#include <QObject>
#include <QThread>

#include "ui/travel_worker.h"

namespace vmxscope::ui {

class Travel : public QObject {
    Q_OBJECT

  public:
    explicit Travel(QObject* parent = nullptr);
    /// Keeps the session under way, if it is to be kept, and waits for the thread.
    ~Travel() override;

    TravelWorker& worker() { return *worker_; }
    /// Calls `what(worker)` in the worker's thread, after all that was asked before.
    template <typename What>
    void ask(What what) {
        QMetaObject::invokeMethod(
            worker_, [w = worker_, what = std::move(what)] { what(*w); }, Qt::QueuedConnection);
    }
    /// The same, of something short that somebody waits for.
    template <typename What>
    void ask_now(What what) {
        worker_->hurry();
        ask(std::move(what));
    }

  private:
    QThread thread_;
    TravelWorker* worker_;  // deleted by its thread's end
};

}  // namespace vmxscope::ui
