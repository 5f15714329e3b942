// A libvirtd of the test's own: its configuration, sockets, domains and logs are in a folder in /tmp. It runs without
// root's rights (as nobody, when the test is root), so it touches nothing of the machine's own libvirt.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "core/result.h"

namespace vmxscope::libvirt::test {

class Daemon {
  public:
    /// Fails where libvirtd or QEMU is not installed, or does not start.
    static core::Result<std::unique_ptr<Daemon>> start();
    /// Ends its domains, itself, and removes its folder.
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    const std::string& uri() const { return uri_; }
    /// A domain of two vCPUs that QEMU emulates; it counts in EAX, two instructions at 0x7c00, for ever.
    std::string domain_xml(const std::string& name) const;

  private:
    explicit Daemon(std::string folder);
    core::Result<void> write_files() const;
    core::Result<void> spawn();
    void end_domains() const;

    std::string folder_, uri_;
    pid_t pid_ = -1;
};

}  // namespace vmxscope::libvirt::test
