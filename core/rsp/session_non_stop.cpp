// Non-stop mode: each vCPU runs and stops for itself, and its stops are notifications. (gdb manual, "Remote Non-Stop".)
#include <fmt/format.h>

#include <algorithm>

#include "core/rsp/session.h"

namespace vmxscope::core::rsp {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

/// gdb 13 ends with an internal error when its first `?` is answered with two threads that are stopped. It is told of one,
/// and of the others when it has asked nothing for so long.
constexpr auto kSettling = milliseconds(200);

}  // namespace

Session::Reply Session::non_stop(std::string_view mode) {
    if (mode == "0") return end_non_stop();
    if (mode != "1") return error("QNonStop wants 1 or 0.");
    if (!drives_) return error(only_looks());
    if (awaiting_ != Awaiting::Nothing) return error("The guest runs: interrupt it first.");
    if (!target_->can(Ability::NonStop))
        return error("This target stops all vCPUs when one stops: non-stop mode is not for it.");
    if (stop_) return begin_non_stop();
    await(Awaiting::NonStop);  // all are held once the first stop has come
    return {};
}

Session::Reply Session::begin_non_stop() {
    if (!non_stop_) {
        if (auto set = target_->set_non_stop(true); !set) return error(set.error());
    }
    non_stop_ = true;
    return "OK";
}

Session::Reply Session::end_non_stop() {
    if (!non_stop_) return "OK";
    if (auto set = target_->set_non_stop(false); !set) return error(set.error());
    non_stop_ = false;
    guest_->runs = false;
    running_.clear();
    asked_.clear();
    notices_.clear();
    later_.clear();
    return "OK";
}

/// The answer to `?`: one that is stopped; what was to be told before is told anew.
Session::Reply Session::first_of_the_stopped() {
    notices_.clear();
    later_.clear();
    const auto vcpus = target_->vcpus();
    if (!vcpus) return error(vcpus.error());
    for (const Vcpu& v : *vcpus) {
        if (v.state == VcpuState::Gone || runs(v)) continue;
        const bool newest = stop_ && stop_->vcpu == v.id;
        Stop stop = newest ? *stop_ : Stop{Stop::Why::Attached, v.id, v.last_seq, {}};
        newest ? later_.push_front(std::move(stop)) : later_.push_back(std::move(stop));
    }
    if (later_.empty()) return "OK";
    const Stop first = std::move(later_.front());
    later_.pop_front();
    settled_ = steady_clock::now() + kSettling;
    return report(first);
}

/// One that the target has seen for the first time runs, though nobody let it go.
bool Session::runs(const Vcpu& vcpu) const {
    return running_.contains(vcpu.id) || vcpu.state == VcpuState::Running;
}

/// It has stopped, and the client does not know it yet. Who lets all go does not mean such a one (gdbserver has it so, too).
bool Session::to_be_told(std::uint32_t vcpu) const {
    return std::ranges::any_of(notices_, [&](const Notice& n) { return n.vcpu == vcpu; });
}

Session::Reply Session::vcont_non_stop(const std::vector<ThreadAction>& actions) {
    const auto vcpus = target_->vcpus();
    if (!vcpus) return error(vcpus.error());
    std::vector<Action> resumed;
    for (const Vcpu& v : *vcpus) {
        const auto a = std::ranges::find_if(actions, [&](const ThreadAction& x) { return !x.vcpu || *x.vcpu == v.id; });
        if (a == actions.end() || v.state == VcpuState::Gone) continue;
        if (a->what == ThreadAction::What::Stop) {
            // One that is stopped already says nothing more.
            if (!runs(v)) continue;
            if (auto told = target_->interrupt_one(v.id); !told) return error(told.error());
            running_.insert(v.id);
            guest_->runs = true;
            asked_.insert(v.id);
        } else if (!runs(v) && (a->vcpu || !to_be_told(v.id))) {
            resumed.push_back({v.id, a->what == ThreadAction::What::Step ? std::optional(step_) : std::nullopt});
        }
    }
    if (resumed.empty()) return "OK";
    if (auto on = target_->resume(resumed); !on) return error(on.error());
    for (const Action& a : resumed) {
        running_.insert(*a.vcpu);
        std::erase_if(later_, [&](const Stop& s) { return s.vcpu == *a.vcpu; });
    }
    guest_->runs = true;
    return "OK";
}

void Session::watch_non_stop(milliseconds limit) {
    if (steady_clock::now() >= settled_)
        for (; !later_.empty(); later_.pop_front()) notice(later_.front());
    if (running_.empty()) {
        connection_.pump(later_.empty() ? milliseconds(0) : limit);
        return;
    }
    const auto found = target_->wait(limit);
    if (!found) {
        // None of them is known to run any more: each is reported as it is.
        for (const std::uint32_t vcpu : std::exchange(running_, {}))
            notice({vcpu, vmx_ ? failed_reply(found.error().text())
                               : stop_reply({Stop::Why::Attached, vcpu, 0, {}}, multiprocess_, {.asked_for = true})});
    } else if (*found) {
        stop_ = **found;
        running_.erase(stop_->vcpu);
        if (stop_->why == Stop::Why::GuestGone) running_.clear();
        notice(*stop_);
    }
    guest_->runs = !running_.empty();
}

/// The thread that the client has selected stays so: only in all-stop mode a stop selects.
void Session::notice(const Stop& stop) {
    const auto selected = selected_;
    notice({stop.why == Stop::Why::GuestGone ? std::nullopt : std::optional(stop.vcpu), report(stop)});
    selected_ = selected;
}

/// One is on its way at a time: the client asks for the next, and is told of further ones only when it has had all.
void Session::notice(Notice what) {
    notices_.push_back(std::move(what));
    if (notices_.size() == 1) connection_.notify("Stop:" + notices_.front().reply);
}

Session::Reply Session::next_notice(std::string_view) {
    if (!notices_.empty()) notices_.pop_front();
    return notices_.empty() ? "OK" : notices_.front().reply;
}

}  // namespace vmxscope::core::rsp
