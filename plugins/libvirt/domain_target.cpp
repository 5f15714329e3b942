#include "plugins/libvirt/domain_target.h"

#include <fmt/format.h>

#include <utility>

namespace vmxscope::libvirt {
namespace {

constexpr std::chrono::seconds kEventLimit{2};  // a lost connection may be seen before the event that explains it

/// The bases in this order: the inner target is left before its stub is closed.
struct Held {
    Attachment attachment;
};

class DomainTarget : private Held, public core::WrappedTarget {
  public:
    DomainTarget(std::unique_ptr<core::Target> inner, Attachment held, core::TargetInfo info)
        : Held{std::move(held)}, WrappedTarget(std::move(inner)), info_(std::move(info)) {}
    ~DomainTarget() override { (void)DomainTarget::detach(); }

    const core::TargetInfo& info() const override { return info_; }

    core::Result<std::vector<core::Vcpu>> vcpus() override {
        auto all = WrappedTarget::vcpus();
        if (all)
            for (core::Vcpu& vcpu : *all)
                if (vcpu.tid == 0 && vcpu.id < attachment.threads.size()) vcpu.tid = attachment.threads[vcpu.id];
        return all;
    }

    /// A domain that ends is an end, also where all that is seen of it here is a connection that breaks.
    core::Result<std::optional<core::Stop>> wait(std::chrono::milliseconds limit) override {
        auto stop = inner().wait(limit);
        if (stop && (!*stop || (*stop)->why != core::Stop::Why::GuestGone)) {
            if (!left_ && attachment.events->ended({})) return gone(stop->value_or(core::Stop{}));
            return stop;
        }
        const auto why = how_it_ended();
        if (!why) return stop;
        return gone(stop ? **stop : core::Stop{});
    }

    core::Result<void> detach() override {
        if (std::exchange(left_, true)) return {};
        const bool ended = attachment.events->ended({}).has_value();
        auto detached = inner().detach();
        if (attachment.stub)
            if (const auto closed = attachment.stub->close(); !closed && detached)
                detached = tl::unexpected(closed.error());
        // The stub lets a guest run when its client goes, also one that libvirt had paused.
        if (attachment.stub && attachment.was_paused && !ended && virDomainSuspend(attachment.domain.get()) < 0 &&
            detached)
            detached = core::fail(fmt::format("The domain {} was paused before, and cannot be paused again: {}.",
                                              attachment.name, last_error()));
        if (ended || how_it_ended()) return {};
        return detached;
    }

  private:
    /// Completes "The domain NAME "; nothing: it runs, or nobody knows.
    std::optional<std::string> how_it_ended() const {
        if (auto ended = attachment.events->ended({})) return ended;
        if (!is_gone(attachment.domain.get())) return std::nullopt;
        return attachment.events->ended(kEventLimit).value_or("runs no more");
    }

    core::Result<std::optional<core::Stop>> gone(core::Stop stop) const {
        stop.why = core::Stop::Why::GuestGone;
        stop.text = sentence();
        return stop;
    }

    std::string sentence() const {
        return fmt::format("The domain {} {}.", attachment.name, how_it_ended().value_or("runs no more"));
    }

    std::optional<core::Error> explanation() const override {
        if (!how_it_ended()) return std::nullopt;
        return core::Error{sentence(),
                           fmt::format("Start it again, virsh start {}, and attach to it anew.", attachment.name)};
    }

    core::TargetInfo info_;
    bool left_ = false;
};

}  // namespace

Attachment::~Attachment() {
    if (events && connection) Events::leave(events, connection.get());
}

std::unique_ptr<core::Target> make_domain_target(std::unique_ptr<core::Target> inner, Attachment attachment,
                                                 core::TargetInfo info) {
    return std::make_unique<DomainTarget>(std::move(inner), std::move(attachment), std::move(info));
}

}  // namespace vmxscope::libvirt
