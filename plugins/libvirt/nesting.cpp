#include "plugins/libvirt/nesting.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

namespace vmxscope::libvirt {
namespace {

using Can = Nesting::Can;

bool on(const std::string& policy) {
    return policy == "require" || policy == "force" || policy == "optional";
}
bool off(const std::string& policy) {
    return policy == "disable" || policy == "forbid";
}

/// Why the processor that the guest is given has no VMX, whatever the host; empty: it has.
std::string why_no_vmx(const DomainFacts& d) {
    if (off(d.vmx)) return fmt::format("its CPU has the feature vmx disabled (policy {})", d.vmx);
    if (on(d.vmx) || d.cpu_mode == "host-passthrough" || d.cpu_mode == "host-model" || d.cpu_mode == "maximum")
        return {};
    if (on(d.svm)) return "its CPU has AMD's SVM instead";
    // None of libvirt's models has vmx by itself, as none of QEMU's has it switched on.
    if (d.cpu_model.empty()) return "its CPU is QEMU's default, without the feature vmx";
    return fmt::format("its CPU model {} has no feature vmx", d.cpu_model);
}

}  // namespace

HostFacts this_host() {
    HostFacts host;
    std::error_code error;
    host.kvm_intel = std::filesystem::exists("/sys/module/kvm_intel", error);
    std::ifstream in("/sys/module/kvm_intel/parameters/nested");
    if (char c = 0; in >> c) host.nested = c == 'Y' || c == '1';
    return host;
}

Nesting nesting_of(const DomainFacts& d, const HostFacts& host) {
    if (d.type == "qemu") return {Can::No, "it is emulated by TCG, and KVM has no part in it"};
    if (d.type != "kvm") return {Can::No, fmt::format("it is a domain of type {}, which KVM does not run", d.type)};
    if (d.arch != "x86_64" && d.arch != "i686")
        return {Can::No, fmt::format("its processor is of another kind ({})", d.arch)};
    const std::string why_not = d.cpu_by_hand ? std::string() : why_no_vmx(d);
    if (!why_not.empty()) return {Can::No, why_not};
    const std::string cpu = d.cpu_by_hand ? "QEMU is given its -cpu by hand"
                            : on(d.vmx)   ? fmt::format("vmx: {}", d.vmx)
                                          : d.cpu_mode;
    if (!host.local) return {Can::Unknown, fmt::format("{}; its host's kvm_intel cannot be seen from here", cpu)};
    if (!host.kvm_intel) return {Can::No, "this host has not loaded kvm_intel"};
    if (!host.nested) return {Can::Unknown, fmt::format("{}; kvm_intel does not tell its parameter nested", cpu)};
    if (!*host.nested) return {Can::No, "this host's kvm_intel was loaded with nested=0"};
    return {d.cpu_by_hand ? Can::Unknown : Can::Yes, fmt::format("{}, and kvm_intel has nested=1", cpu)};
}

std::string text_of(const Nesting& nesting) {
    switch (nesting.can) {
        case Can::Yes: return fmt::format("can run nested guests ({})", nesting.why);
        case Can::No: return fmt::format("no nested guests: {}", nesting.why);
        case Can::Unknown: return fmt::format("may run nested guests ({})", nesting.why);
    }
    return {};
}

}  // namespace vmxscope::libvirt
