#include "plugins/libvirt/qemu_process.h"

#include <fmt/format.h>

#include <fstream>
#include <optional>

#include "plugins/libvirt/monitor.h"

namespace vmxscope::libvirt {
namespace {

constexpr std::streamsize kMostArguments = 1 << 20;  // bytes

std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string text(kMostArguments, '\0');
    in.read(text.data(), kMostArguments);
    text.resize(static_cast<std::size_t>(in.gcount()));
    return text;
}

bool belongs(std::uint32_t pid, const std::string& uuid) {
    return is_qemu_of(contents(fmt::format("/proc/{}/comm", pid)), contents(fmt::format("/proc/{}/cmdline", pid)),
                      uuid);
}

std::optional<std::uint32_t> by_pidfile(const DomainFacts& facts) {
    if (facts.name.find('/') != std::string::npos) return std::nullopt;
    std::ifstream in(fmt::format("/run/libvirt/qemu/{}.pid", facts.name));
    std::uint32_t pid = 0;
    if (!(in >> pid) || !belongs(pid, facts.uuid)) return std::nullopt;
    return pid;
}

/// The process that a thread is of.
std::uint32_t process_of(std::uint32_t thread) {
    std::ifstream in(fmt::format("/proc/{}/status", thread));
    for (std::string word; in >> word;)
        if (std::uint32_t pid = 0; word == "Tgid:" && in >> pid) return pid;
    return 0;
}

}  // namespace

bool is_qemu_of(std::string_view comm, std::string_view cmdline, std::string_view uuid) {
    if (!comm.starts_with("qemu") && !comm.starts_with("kvm")) return false;
    bool is_next = false;
    while (!cmdline.empty()) {
        const std::string_view word = cmdline.substr(0, cmdline.find('\0'));
        if (is_next) return word == uuid;
        is_next = word == "-uuid";
        cmdline.remove_prefix(std::min(cmdline.size(), word.size() + 1));
    }
    return false;
}

core::Result<std::uint32_t> find_qemu(virDomainPtr domain, const DomainFacts& facts) {
    if (const auto pid = by_pidfile(facts)) return *pid;
    const auto threads = vcpu_threads(domain);
    if (!threads) return tl::unexpected(threads.error());
    const std::uint32_t pid = threads->empty() ? 0 : process_of(threads->front());
    if (pid == 0 || !belongs(pid, facts.uuid))
        return core::fail(
            fmt::format("The QEMU process of {} is not to be found on this machine.", facts.name),
            "If it runs in a container or elsewhere, start vmxscope-agent there and attach to its socket.");
    return pid;
}

}  // namespace vmxscope::libvirt
