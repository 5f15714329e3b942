// A Target, in this process, that plays a story of samples.h; and a Backend for it. Tests hold its strings.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "core/target.h"
#include "tests/ui/samples.h"

namespace vmxscope::ui::test {

/// What the test sets, and sees, from its own thread.
struct Strings {
    explicit Strings(std::vector<samples::TransitionPtr> all) : story(std::move(all)) {}
    const std::vector<samples::TransitionPtr> story;
    std::atomic<bool> attach_hangs = false;  // attach() goes on until it is cancelled
    std::atomic<bool> attach_fails = false;
    std::atomic<bool> lost = false;     // wait() fails from now on
    std::atomic<bool> endless = false;  // past its end the story does not end the guest; nothing comes any more
    std::atomic<int> vcpus = 1;
    std::atomic<bool> tells = true;   // its capabilities, its memory, EPT02; else what every target may refuse
    std::atomic<int> evidence = -1;   // the nested::EvidenceScope that was asked for
    std::atomic<unsigned> stale = 0;  // added to the PDPTEs in memory
    std::atomic<int> attaches = 0, detaches = 0, interrupts = 0;
    std::vector<core::Action> last_actions();
    void note(std::vector<core::Action> actions);

  private:
    std::mutex mutex_;
    std::vector<core::Action> actions_;
};

/// "story:" attaches to the one story. When it is over the guest ends.
std::unique_ptr<core::Backend> make_story_backend(std::shared_ptr<Strings> strings);

}  // namespace vmxscope::ui::test
