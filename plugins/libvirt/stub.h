// QEMU's own GDB stub of a domain: opened for an attach, closed after it, however it ends.
#pragma once

#include <libvirt/libvirt.h>

#include <cstdint>
#include <string>

#include "core/result.h"
#include "plugins/libvirt/domain_xml.h"

namespace vmxscope::libvirt {

class Stub {
  public:
    /// Opens it on a free port of the host's loopback. One that an earlier attach left behind is closed first; one that
    /// somebody else has opened is used if it is free, and stays open afterwards.
    /// `paused`: the domain is, by libvirt; noted for whoever finds the stub left behind.
    static core::Result<Stub> open(virDomainPtr domain, const DomainFacts& facts, bool paused);
    Stub(Stub&& other) noexcept;
    Stub& operator=(Stub&&) = delete;
    ~Stub();

    std::uint16_t port() const { return port_; }
    bool was_left() const { return was_left_; }  // an earlier attach's was found

    /// Also what the destructor does. Where libvirt no longer answers, or the domain is gone, an Error says what is
    /// left.
    core::Result<void> close();

  private:
    Stub(virDomainPtr domain, std::string name, std::uint16_t port, bool ours, bool was_left);

    virDomainPtr domain_;  // a reference of its own; null once it was moved from
    std::string name_;
    std::uint16_t port_;
    bool ours_, was_left_;
};

}  // namespace vmxscope::libvirt
