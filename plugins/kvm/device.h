// /dev/vmxscope from user space: one session of the module, and its ring read record by record.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/result.h"
#include "plugins/kvm/probe_plan.h"

namespace vmxscope::kvm {

/// What a record of the ring refers to; valid only while its visitor runs.
struct RawRecord {
    vmxscope_record header;  // its regs are 0 where the record has none
    std::span<const std::byte> payload;
};

/// Walks the ring's bytes from `tail` to `head` (running counts) in a ring of a power-of-two size and calls `visit` for
/// every record but the padding, `most` at most. Returns the new tail, or an Error when a record's size is impossible.
core::Result<std::uint64_t> walk_ring(std::span<const std::byte> ring, std::uint64_t tail, std::uint64_t head,
                                      const std::function<void(const RawRecord&)>& visit,
                                      std::size_t most = ~std::size_t{0});

struct SlotStatus {
    std::uint32_t tid;
    bool held;
    std::uint64_t lost;
};

struct SessionStatus {
    std::vector<SlotStatus> slots;
    std::uint32_t missed = 0;  // probe hits that the kernel skipped
};

class Device {
  public:
    /// Opens the device and places the hooks for `what`, whose ring_bytes is a power of two; each hook of the plan gets its status. `armed`: stop classes of a
    /// vCPU when first seen.
    static core::Result<std::unique_ptr<Device>> open(ProbePlan& plan, std::uint32_t tgid, std::uint32_t armed, const WatchFor& what);
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// Does it through the thread of a vCPU that is held, and fills in what was read before and after. The device must have been
    /// opened with WatchFor::writes.
    core::Result<void> write(vmxscope_write& write);
    core::Result<void> run(std::uint32_t slot, std::uint32_t armed, std::uint32_t flags);
    /// Places the hooks for `what` and removes the others, of the plan that the device was opened with.
    core::Result<void> watch(ProbePlan& plan, WatchFor what);
    /// kHz of the TSC that records are timed with; 0 = not known.
    std::uint64_t tsc_khz();
    /// Bytes of the ring that are waiting to be read.
    std::uint64_t waiting() const;
    std::uint32_t ring_bytes() const { return ring_bytes_; }
    /// The processor's VMX capability MSRs, by number - 0x480; one that it does not have is unsupported.
    core::Result<std::array<vmx::Value, VMXSCOPE_NR_MSRS>> capability_msrs();
    core::Result<SessionStatus> status();
    /// Waits up to `limit` for records, then visits those there are, `most` at most. Returns how many.
    core::Result<std::size_t> read(std::chrono::milliseconds limit, const std::function<void(const RawRecord&)>& visit,
                                   std::size_t most = ~std::size_t{0});

  private:
    Device() = default;
    void keep_alive();

    int fd_ = -1;
    std::byte* map_ = nullptr;
    std::uint32_t slots_ = 0, ring_bytes_ = 0;
    std::atomic<bool> ending_{false};
    std::thread pinger_;  // the module lets every vCPU go when it has not heard of us for kWatchdog
};

}  // namespace vmxscope::kvm
