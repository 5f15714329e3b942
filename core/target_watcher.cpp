#include "core/target_watcher.h"

#include <utility>

namespace vmxscope::core {

TargetWatcher::TargetWatcher(const Backends& backends, Changed changed, std::chrono::milliseconds interval)
    : backends_(backends), changed_(std::move(changed)), interval_(interval) {
    watches_ = backends_.watch([this] { look_again(); });
    thread_ = std::thread([this] { run(); });
}

TargetWatcher::~TargetWatcher() {
    watches_.clear();
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

void TargetWatcher::look_again() {
    {
        const std::lock_guard lock(mutex_);
        look_ = true;
    }
    wake_.notify_all();
}

void TargetWatcher::refresh() {
    {
        const std::lock_guard lock(mutex_);
        look_ = tell_ = true;
    }
    wake_.notify_all();
}

void TargetWatcher::pause(bool paused) {
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(paused_, paused) && !paused) look_ = tell_ = true;
    }
    wake_.notify_all();
}

void TargetWatcher::run() {
    std::vector<TargetName> last;
    std::unique_lock lock(mutex_);
    for (;;) {
        if (paused_ && !tell_)
            wake_.wait(lock, [this] { return ending_ || !paused_ || tell_; });
        else
            wake_.wait_for(lock, interval_, [this] { return ending_ || look_ || paused_; });
        if (ending_) return;
        if (paused_ && !tell_) continue;
        look_ = false;
        const bool tell = std::exchange(tell_, false);
        lock.unlock();
        std::vector<TargetName> now = backends_.list();
        if (tell || now != last) {
            last = std::move(now);
            changed_(last);
        }
        lock.lock();
    }
}

}  // namespace vmxscope::core
