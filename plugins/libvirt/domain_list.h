// The domains of one connection, kept up to date by libvirtd's events. A thread of its own asks libvirtd; who wants the
// list gets the newest without waiting.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/target.h"
#include "plugins/libvirt/domain_xml.h"
#include "plugins/libvirt/nesting.h"

namespace vmxscope::libvirt {

struct ListedDomain {
    DomainFacts facts;
    int state = 0;   // virDomainState
    int reason = 0;  // of that state's reasons
};

struct DomainSnapshot {
    bool answered = false;               // libvirtd, or the attempt to reach it has failed
    std::optional<core::Error> trouble;  // why there is no list
    bool qemu = false;                   // the connection's driver is QEMU's
    HostFacts host;
    std::vector<ListedDomain> domains;  // by name
};

class DomainList {
  public:
    /// Connects to `uri`, again and again while that fails (every 5 s at first, every 60 s at last).
    explicit DomainList(std::string uri);
    ~DomainList();  // at once: what is under way ends by itself

    DomainSnapshot now() const;
    /// Waits for the first answer, up to `limit`.
    void wait(std::chrono::milliseconds limit) const;
    std::unique_ptr<core::Watch> watch(std::function<void()> changed);

  private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

/// "running", "shut off", …
std::string_view state_text(int state, int reason);

}  // namespace vmxscope::libvirt
