// Whether a domain can be a guest hypervisor: of its XML and its host, and why, in words.
#pragma once

#include <optional>
#include <string>

#include "plugins/libvirt/domain_xml.h"

namespace vmxscope::libvirt {

/// What is known of the machine that a domain runs on.
struct HostFacts {
    bool local = true;                // this one; else nothing is known
    bool kvm_intel = false;           // the module is loaded
    std::optional<bool> nested = {};  // its parameter
};
/// Of this machine.
HostFacts this_host();

struct Nesting {
    enum class Can : unsigned char { Yes, No, Unknown };
    Can can = Can::Unknown;
    std::string why;  // "host-passthrough, and kvm_intel has nested=1"
};
Nesting nesting_of(const DomainFacts& domain, const HostFacts& host);

/// "VMX for its own guests (…)", "no VMX: …".
std::string text_of(const Nesting& nesting);

}  // namespace vmxscope::libvirt
