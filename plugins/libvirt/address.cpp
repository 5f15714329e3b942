#include "plugins/libvirt/address.h"

#include <fmt/format.h>

#include <cstdlib>

namespace vmxscope::libvirt {
namespace {

constexpr std::string_view kForms =
    "Write libvirt:DOMAIN or libvirt:URI#DOMAIN, with ?stub or ?agent after it to choose the way.";
constexpr std::size_t kMostText = 4096;  // bytes

struct Suffix {
    std::string_view text;
    Way way;
};
constexpr Suffix kSuffixes[] = {{"?stub", Way::Stub}, {"?agent", Way::Agent}};

}  // namespace

DefaultUri default_uri() {
    for (const char* name : {"VMXSCOPE_LIBVIRT_URI", "LIBVIRT_DEFAULT_URI"})
        if (const char* uri = std::getenv(name); uri && *uri) return {uri, true};
    return {};
}

core::Result<Address> parse_address(std::string_view rest, const std::string& default_uri) {
    Address address{default_uri, {}, Way::Best};
    if (rest.size() > kMostText) return core::fail("The domain's address is too long.", std::string(kForms));
    for (const Suffix& suffix : kSuffixes)
        if (rest.ends_with(suffix.text)) {
            address.way = suffix.way;
            rest.remove_suffix(suffix.text.size());
            break;
        }
    // A domain's name may have a '#' in it; before one that ends a URI stands "://".
    const std::size_t hash = rest.find('#');
    if (hash != std::string_view::npos && rest.substr(0, hash).find("://") != std::string_view::npos) {
        address.uri = rest.substr(0, hash);
        rest.remove_prefix(hash + 1);
    }
    if (rest.empty()) return core::fail("No domain is named.", std::string(kForms));
    address.domain = rest;
    return address;
}

std::string text_of(const Address& address) {
    std::string text = "libvirt:";
    if (address.uri != kSystem) text += address.uri + "#";
    text += address.domain;
    for (const Suffix& suffix : kSuffixes)
        if (suffix.way == address.way) text += suffix.text;
    return text;
}

bool is_local(std::string_view uri) {
    const std::size_t begin = uri.find("://");
    if (begin == std::string_view::npos) return true;
    const std::string_view after = uri.substr(begin + 3);
    return after.substr(0, after.find_first_of("/?")).empty();
}

}  // namespace vmxscope::libvirt
