#include "plugins/libvirt/stub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "plugins/libvirt/connection.h"
#include "plugins/libvirt/monitor.h"

namespace vmxscope::libvirt {
namespace {

/// Null `mark` takes it away.
bool set_mark(virDomainPtr domain, const char* mark) {
    return virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, mark, kMarkKey, kMarkUri,
                                VIR_DOMAIN_AFFECT_LIVE) == 0;
}

/// Port 0: QEMU's monitor says afterwards which one it is. Others than loopback, and files, a confined QEMU may not
/// open.
core::Result<OpenStub> start(virDomainPtr domain, const std::string& name, bool paused) {
    if (!set_mark(domain, fmt::format("<stub pid='{}' paused='{}'/>", ::getpid(), paused).c_str()))
        return core::fail(fmt::format("libvirt refuses to have {} marked as being debugged: {}.", name, last_error()));
    const auto said = human_command(domain, "gdbserver tcp:127.0.0.1:0");
    if (!said) return tl::unexpected(said.error());
    const auto stub = open_stub(domain);
    if (!stub) return tl::unexpected(stub.error());
    if (!*stub || (*stub)->port == 0) {
        set_mark(domain, nullptr);
        return core::fail(fmt::format("QEMU did not open its GDB stub for {}: {}", name, *said));
    }
    return **stub;
}

core::Result<void> stop(virDomainPtr domain) {
    const auto said = human_command(domain, "gdbserver none");
    if (!said) return tl::unexpected(said.error());
    set_mark(domain, nullptr);
    return {};
}

}  // namespace

Stub::Stub(virDomainPtr domain, std::string name, std::uint16_t port, bool ours, bool was_left)
    : domain_(domain), name_(std::move(name)), port_(port), ours_(ours), was_left_(was_left) {
    virDomainRef(domain_);
}

Stub::Stub(Stub&& other) noexcept
    : domain_(std::exchange(other.domain_, nullptr)),
      name_(std::move(other.name_)),
      port_(other.port_),
      ours_(other.ours_),
      was_left_(other.was_left_) {}

Stub::~Stub() {
    if (!domain_) return;
    (void)close();
    virDomainFree(domain_);
}

core::Result<Stub> Stub::open(virDomainPtr domain, const DomainFacts& facts, bool paused) {
    const auto found = open_stub(domain);
    if (!found) return tl::unexpected(found.error());
    const bool was_left = *found && facts.marked && !(*found)->taken;
    if (*found && !was_left) {
        if ((*found)->taken || (*found)->port == 0)
            return core::fail(fmt::format("QEMU's GDB stub of {} is in use already: {}.", facts.name, (*found)->where),
                              fmt::format("End the debugger that is attached to it, or close it: virsh "
                                          "qemu-monitor-command {} --hmp 'gdbserver none'.",
                                          facts.name));
        return Stub(domain, facts.name, (*found)->port, false, false);
    }
    if (was_left)
        if (const auto stopped = stop(domain); !stopped) return tl::unexpected(stopped.error());
    const auto stub = start(domain, facts.name, was_left ? facts.marked_paused : paused);
    if (!stub) return tl::unexpected(stub.error());
    return Stub(domain, facts.name, stub->port, true, was_left);
}

core::Result<void> Stub::close() {
    if (!std::exchange(ours_, false)) return {};
    const auto stopped = stop(domain_);
    if (stopped || is_gone(domain_)) return {};
    return core::fail(fmt::format("QEMU's GDB stub of {} is still open, on port {} of the loopback: {}", name_, port_,
                                  stopped.error().what),
                      fmt::format("Close it: virsh qemu-monitor-command {} --hmp 'gdbserver none'.", name_));
}

}  // namespace vmxscope::libvirt
