// How a domain is named: "libvirt:DOMAIN", "libvirt:URI#DOMAIN", and "?stub" or "?agent" after either.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace vmxscope::libvirt {

/// The connection where none is named: $VMXSCOPE_LIBVIRT_URI, else $LIBVIRT_DEFAULT_URI, else kSystem.
inline constexpr std::string_view kSystem = "qemu:///system";
struct DefaultUri {
    std::string uri{kSystem};
    bool asked_for = false;  // by one of the variables
};
DefaultUri default_uri();

/// What a domain is attached to by.
enum class Way : unsigned char {
    Best,   // the agent where it can be, else the stub
    Agent,  // vmxscope-agent: transitions
    Stub,   // QEMU's own GDB stub: instructions
};

struct Address {
    std::string uri;
    std::string domain;  // name, UUID or id
    Way way = Way::Best;
    bool operator==(const Address&) const = default;
};

/// `rest` is what follows "libvirt:".
core::Result<Address> parse_address(std::string_view rest, const std::string& default_uri);
/// As parse_address() reads it, with "libvirt:" before it. The connection is left out if it is kSystem.
std::string text_of(const Address& address);

/// True if it is this machine's libvirtd: no host is named.
bool is_local(std::string_view uri);

}  // namespace vmxscope::libvirt
