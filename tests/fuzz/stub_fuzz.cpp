// The bytes are what others say of their machines: a GDB stub's description (its documents, each ended by a NUL byte; those
// that include one another get the next), its registers and stop replies; libvirt's XML of a domain.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "plugins/libvirt/domain_xml.h"
#include "plugins/remote/registers.h"
#include "plugins/remote/stop_reply.h"
#include "plugins/remote/target_description.h"

namespace {

using namespace vmxscope;

void describe(std::string_view text) {
    std::size_t asked = 0;
    const auto described = remote::read_description([&](const std::string&) -> core::Result<std::string> {
        if (++asked > 2 * remote::kMostDocuments) std::abort();
        const std::string document(text.substr(0, text.find('\0')));
        text.remove_prefix(std::min(text.size(), document.size() + 1));
        return document;
    });
    if (!described) return;
    if (described->registers.empty() || described->registers.size() > remote::kMostRegisters) std::abort();
    for (const remote::RegisterShape& r : described->registers)
        if (r.bytes > remote::kMostRegisterBytes) std::abort();
    if (const auto read = remote::read_registers(described->registers, text)) (void)remote::value_of(*read, "rip");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    describe(text);
    (void)remote::parse_stub_stop(text);
    (void)remote::parse_threads(text);
    if (const auto usual = remote::read_registers(remote::usual_registers(), text)) (void)remote::value_of(*usual, "eip");
    (void)libvirt::parse_domain(text);
    return 0;
}
