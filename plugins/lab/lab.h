// A lab that runs: starting one, and what can be done with one.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "core/target.h"
#include "plugins/lab/instance.h"
#include "plugins/lab/sockets.h"

namespace vmxscope::lab {

struct StartOptions {
    std::string name;              // in the catalog; empty with `kernel`
    std::string instance;          // empty = the lab's name if detached, else one of its own
    std::filesystem::path kernel;  // the user's image instead of the catalog's; empty = none
    std::string append;            // the guest's command line
    std::string qemu_args;         // further arguments of QEMU, quoted as for a shell
    bool allow_writes = false;     // the lab's agent lets clients write into the guest
    std::optional<unsigned> cpus;  // empty = the catalog's (1 for a user's image)
    unsigned memory = 64;          // of the guest, MiB
    bool detached = false;         // lives on when this program ends
    bool from_boot = false;        // boots from its CD instead of beginning from the kept state
};

class Lab {
  public:
    /// Starts a lab and waits until its agent listens, QEMU still paused. A lab that does not get there is ended, and
    /// the Error has the end of its log.
    static core::Result<Lab> start(const StartOptions& options, const core::Progress& progress);
    /// One that runs already, to be left running.
    static core::Result<Lab> open(std::string_view id);

    const InstanceInfo& info() const { return info_; }
    const Instance& instance() const { return instance_; }
    /// "tcp:127.0.0.1:PORT", for core::rsp::attach_remote().
    std::string agent_endpoint() const;

    core::Result<CommandResult> run(std::string_view command,
                                    const std::function<void(std::string_view)>& on_output = {},
                                    const std::function<bool()>& keep_on = {}) const;
    /// Why it has ended by itself; empty while it runs.
    std::optional<std::string> ended() const { return instance_.ended(); }
    core::Result<void> stop();

  private:
    Lab(Instance instance, InstanceInfo info, core::Fd leash)
        : instance_(std::move(instance)), info_(std::move(info)), leash_(std::move(leash)) {}

    Instance instance_;
    InstanceInfo info_;
    core::Fd leash_;  // closing it ends the lab; none = the lab lives on
};

/// What an instance is at, in words: "starting (loading KVM)", "ready", "guest ended (status 33)", "ended: …".
std::string state_of(const Instance& instance);

}  // namespace vmxscope::lab
