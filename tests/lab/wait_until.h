// Tests wait for a condition, generously, and never for a time.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace vmxscope::lab {

/// False when it did not come to be within a minute.
inline bool wait_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
}

}  // namespace vmxscope::lab
