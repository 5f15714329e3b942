// A list of targets that keeps itself up to date: told by the families that can tell (Backend::watch), asked for again,
// every few seconds, for the rest.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/target.h"

namespace vmxscope::core {

class TargetWatcher {
  public:
    /// Called from the watcher's own thread: first with the list as it is, then with each that differs from the one
    /// before.
    using Changed = std::function<void(const std::vector<TargetName>& now)>;

    /// `backends` must outlive it. Looked at again after `interval` even if nobody told of a change.
    TargetWatcher(const Backends& backends, Changed changed,
                  std::chrono::milliseconds interval = std::chrono::seconds(3));
    /// Waits for a list, or a call, that is under way.
    ~TargetWatcher();
    TargetWatcher(const TargetWatcher&) = delete;
    TargetWatcher& operator=(const TargetWatcher&) = delete;

    /// Paused, nothing is looked at; going on, or refresh(), gives the list anew even where nothing has changed. Any
    /// thread, at once.
    void pause(bool paused);
    void refresh();

  private:
    void run();
    void look_again();

    const Backends& backends_;
    Changed changed_;
    std::chrono::milliseconds interval_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool ending_ = false, paused_ = false;
    bool look_ = true;  // somebody told of a change
    bool tell_ = true;  // whether or not the list is another one
    std::vector<std::unique_ptr<Watch>> watches_;
    std::thread thread_;  // the last, as it uses the others
};

}  // namespace vmxscope::core
