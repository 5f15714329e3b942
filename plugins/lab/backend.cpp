#include "plugins/lab/backend.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/rsp/remote_target.h"
#include "core/wrapped_target.h"
#include "plugins/lab/catalog.h"
#include "plugins/lab/lab.h"

namespace vmxscope::lab {
namespace {

constexpr double kStarted = 0.9;  // of attaching to a lab that has to be started; the rest is the agent's

/// The agent's target, with the lab it runs in: an error says so if the lab has ended, and leaving the target ends a
/// lab that was started for it.
class LabTarget : public core::WrappedTarget {
  public:
    LabTarget(std::unique_ptr<core::Target> remote, Lab lab, bool ours)
        : WrappedTarget(std::move(remote)), lab_(std::move(lab)), ours_(ours) {}
    ~LabTarget() override { (void)LabTarget::detach(); }

    core::Result<void> detach() override {
        if (std::exchange(left_, true)) return {};
        auto detached = inner().detach();
        if (!ours_) return detached;
        return lab_.stop();  // whether or not the agent still answered
    }

  private:
    std::optional<core::Error> explanation() const override {
        const auto why = lab_.ended();
        if (!why) return std::nullopt;
        return core::Error{"The lab has ended: " + *why, "Attach to it again to start it anew."};
    }

    Lab lab_;
    bool ours_;
    bool left_ = false;
};

class LabBackend : public core::Backend {
  public:
    std::string_view scheme() const override { return "lab"; }

    std::vector<core::TargetName> list() override {
        std::vector<core::TargetName> names;
        if (const auto running = list_instances())
            for (const Instance& instance : *running)
                if (const auto info = instance.info(); info && !info->leashed && instance.alive())
                    names.push_back({"lab:" + instance.id(), fmt::format("running: {}", state_of(instance)), true, ""});
        for (const CatalogEntry& entry : catalog()) {
            const std::string uri = "lab:" + std::string(entry.name);
            const auto same = [&](const core::TargetName& n) { return n.uri == uri; };
            if (std::none_of(names.begin(), names.end(), same))
                names.push_back({uri, std::string(entry.summary), true, ""});
        }
        return names;
    }

    core::Result<std::unique_ptr<core::Target>> attach(std::string_view rest, const core::Progress& progress) override {
        const bool runs = find_running(rest).has_value();
        auto lab = runs ? Lab::open(rest) : start(rest, progress);
        if (!lab) return tl::unexpected(lab.error());
        const core::Progress remaining = [&](std::string_view step, double fraction) {
            return !progress || progress(step, fraction < 0 ? kStarted : kStarted + (1 - kStarted) * fraction);
        };
        auto remote = core::rsp::attach_remote(lab->agent_endpoint(), fmt::format("lab:{}", rest), remaining);
        if (!remote) {
            if (!runs) (void)lab->stop();
            return tl::unexpected(remote.error());
        }
        return std::make_unique<LabTarget>(std::move(*remote), std::move(*lab), !runs);
    }

  private:
    static core::Result<Lab> start(std::string_view name, const core::Progress& progress) {
        StartOptions options;
        options.name = name;
        return Lab::start(options, [&](std::string_view step, double fraction) {
            return !progress || progress(step, fraction < 0 ? fraction : kStarted * fraction);
        });
    }
};

}  // namespace

std::unique_ptr<core::Backend> lab_backend() {
    return std::make_unique<LabBackend>();
}

}  // namespace vmxscope::lab
