// Finding the processes that run KVM guests, and the one whose guest runs guests of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"

namespace vmxscope::kvm {

struct KvmProcess {
    std::uint32_t pid = 0;
    std::string name;                         // argv[0]'s file name
    std::string guest;                        // QEMU's -name, or empty
    bool libvirt = false;                     // `guest` is the name of a domain of libvirt's
    unsigned vcpus = 0;
    std::optional<std::uint64_t> nested_runs; // nested VM-entries so far (KVM's debugfs); empty when not readable
};

/// Every process with an open KVM VM, as /proc shows them. Those of other users need root to be seen.
std::vector<KvmProcess> kvm_processes();

/// What this host lacks for nested VMX, if anything: no VT-x, kvm_intel not loaded, nested=0.
core::Result<void> check_host();

/// `pid` = 0: the only process that runs a nested guest, or else the only one that has a KVM VM at all.
core::Result<KvmProcess> choose_process(std::uint32_t pid);

}  // namespace vmxscope::kvm
