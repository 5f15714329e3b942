// What is wanted of a domain's XML. https://libvirt.org/formatdomain.html
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace vmxscope::libvirt {

inline constexpr std::size_t kMostXml = 4u << 20;  // bytes

/// In the domain's own metadata, while a GDB stub of its QEMU is open that vmxscope has opened: so that one that was
/// left behind is known by whoever looks next.
inline constexpr const char* kMarkKey = "vmxscope";
inline constexpr const char* kMarkUri = "https://vmxscope.org/xmlns/stub/1";

struct DomainFacts {
    std::string name, uuid;
    std::string type;       // "kvm", "qemu" (TCG), "test", …
    std::string arch;       // "x86_64"
    unsigned vcpus = 0;     // present now
    std::string cpu_mode;   // "host-passthrough", "host-model", "maximum", "custom"; empty: the hypervisor's default
    std::string cpu_model;  // of custom, where given
    std::string vmx,
        svm;  // the feature's policy: "require", "force", "optional", "disable", "forbid"; empty: not named
    bool cpu_by_hand = false;    // QEMU is given -cpu by <qemu:commandline>
    bool marked = false;         // kMarkUri is in its metadata,
    bool marked_paused = false;  // and says that the domain was paused before
};

/// Fails on what is no domain, or too long.
core::Result<DomainFacts> parse_domain(std::string_view xml);

}  // namespace vmxscope::libvirt
