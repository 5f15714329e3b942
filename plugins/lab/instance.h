// One lab that runs (or ran): a folder of its own, mode 0700, that its supervisor keeps locked while it lives.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace vmxscope::lab {

/// What is written into an instance's folder for other programs to find.
struct InstanceInfo {
    std::string id;    // "pae-ept"; the folder's name
    std::string name;  // the lab's name in the catalog, or the file name of the user's own image
    unsigned cpus = 1;
    bool leashed = false;  // ends with the program that started it
    std::uint16_t agent_port = 0, shell_port = 0, loader_port = 0;
};

class Instance {
  public:
    explicit Instance(std::filesystem::path folder) : folder_(std::move(folder)) {}

    const std::filesystem::path& folder() const { return folder_; }
    std::string id() const { return folder_.filename().string(); }
    std::filesystem::path console() const { return folder_ / "console.log"; }
    std::filesystem::path lock_file() const { return folder_ / "lock"; }
    std::filesystem::path end_file() const { return folder_ / "ended"; }
    std::filesystem::path supervisor_file() const { return folder_ / "supervisor.pid"; }

    /// Does its supervisor live?
    bool alive() const;
    /// Why it ended, when it ended by itself.
    std::optional<std::string> ended() const;
    core::Result<InstanceInfo> info() const;
    core::Result<void> write_info(const InstanceInfo& info) const;

    /// Ends the supervisor, and with it Bochs, and removes the folder. Nothing to do is success.
    core::Result<void> stop() const;

  private:
    std::filesystem::path folder_;
};

/// `${VMXSCOPE_RUNTIME_DIR:-${XDG_RUNTIME_DIR:-/tmp}/vmxscope-UID}/labs`, made if need be. An Error if another user
/// could write there.
core::Result<std::filesystem::path> instances_folder();

/// Every instance whose supervisor lives, or that ended by itself and has not been cleared away.
core::Result<std::vector<Instance>> list_instances();
/// The instance of that id, if it lives.
std::optional<Instance> find_running(std::string_view id);

struct NewInstance {
    Instance instance;
    core::Fd lock;  // held: whoever has it open keeps the instance alive
};
/// Makes the folder. What is left of a dead instance of that id is removed; a living one is an Error.
core::Result<NewInstance> create_instance(std::string_view id);

}  // namespace vmxscope::lab
