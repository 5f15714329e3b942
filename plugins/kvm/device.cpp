#include "plugins/kvm/device.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vmxscope::kvm {
namespace {

constexpr const char* kPath = "/dev/vmxscope";
constexpr std::uint32_t kSlots = 288;  // KVM_SOFT_MAX_VCPUS of old; more vCPUs are counted as missed
constexpr std::chrono::seconds kWatchdog{30};
constexpr std::chrono::seconds kPing{2};
constexpr std::size_t kPage = 4096;

core::Error open_error(int error) {
    switch (error) {
        case ENOENT:
        case ENODEV:
        case ENXIO:
            return {"The kernel module vmxscope is not loaded (/dev/vmxscope is missing).", "Build it in plugins/kvm/module with make, and load it with: insmod vmxscope.ko"};
        case EBUSY:
            return {"Another agent already uses /dev/vmxscope.", "Stop it, or connect to it instead."};
        case EACCES:
        case EPERM:
            return {"/dev/vmxscope can be opened by root only.", "Run the agent as root."};
        default:
            return {fmt::format("{} cannot be opened: {}.", kPath, std::strerror(error)), {}};
    }
}

core::Error setup_error(int error, const ProbePlan& plan) {
    if (error == EPROTO) return {"The loaded kernel module is of another version of vmxscope.", "Load the one that was built with this agent."};
    for (std::size_t i = 0; i < plan.hooks.size(); ++i)
        if (plan.hooks[i].status < 0 && !(plan.hooks[i].flags & VMXSCOPE_HOOK_OPTIONAL))
            return {fmt::format("The kernel refused a probe at {}: {}.", plan.meaning[i].at, std::strerror(-plan.hooks[i].status)),
                    "Is kprobes off (/sys/kernel/debug/kprobes/enabled), or the function not traceable in this kernel?"};
    return {fmt::format("The kernel module refused the session: {}.", std::strerror(error)), {}};
}

constexpr std::size_t kShortHeader = offsetof(vmxscope_record, regs);  // of REC_CHANGES

bool has_regs(const vmxscope_record& header) { return header.type != VMXSCOPE_REC_CHANGES || header.flags & VMXSCOPE_REC_REGS; }

std::size_t least_size(const vmxscope_record& header) {
    if (header.type == VMXSCOPE_REC_PAD) return 8;
    return has_regs(header) ? sizeof header : kShortHeader;
}

/// `bytes`: all of it, least_size() or more. Changes have their regs at the end.
RawRecord record_of(vmxscope_record header, std::span<const std::byte> bytes) {
    if (header.type != VMXSCOPE_REC_CHANGES) return {header, bytes.subspan(sizeof header)};
    std::size_t end = bytes.size();
    std::ranges::fill(header.regs, 0);
    if (has_regs(header)) std::memcpy(header.regs, bytes.data() + (end -= sizeof header.regs), sizeof header.regs);
    return {header, bytes.first(end).subspan(kShortHeader)};
}

}  // namespace

core::Result<std::uint64_t> walk_ring(std::span<const std::byte> ring, std::uint64_t tail, std::uint64_t head,
                                      const std::function<void(const RawRecord&)>& visit, std::size_t most) {
    if (head - tail > ring.size()) return core::fail("The ring's head and tail are impossible.");
    for (std::size_t visited = 0; tail != head && visited < most; ++visited) {
        const std::size_t at = tail & (ring.size() - 1);
        const std::size_t room = std::min<std::uint64_t>(ring.size() - at, head - tail);
        vmxscope_record header{};
        // A padding record may be shorter than a header: only size and type are read of it.
        std::memcpy(&header, ring.data() + at, std::min(sizeof header, room));
        if (header.size % 8 || header.size < least_size(header) || header.size > room)
            return core::fail(fmt::format("The ring holds a record of an impossible size, {} bytes.", header.size));
        if (header.type != VMXSCOPE_REC_PAD) visit(record_of(header, ring.subspan(at, header.size)));
        tail += header.size;
    }
    return tail;
}

core::Result<std::unique_ptr<Device>> Device::open(ProbePlan& plan, std::uint32_t tgid, std::uint32_t armed, const WatchFor& what) {
    std::unique_ptr<Device> out(new Device);
    out->fd_ = ::open(kPath, O_RDWR | O_CLOEXEC);
    if (out->fd_ < 0) return tl::unexpected(open_error(errno));
    vmxscope_setup setup{};
    setup.abi = VMXSCOPE_ABI;
    setup.tgid = tgid;
    setup.nr_hooks = static_cast<std::uint32_t>(plan.hooks.size());
    setup.nr_mems = static_cast<std::uint32_t>(plan.mems.size());
    setup.nr_fields = static_cast<std::uint32_t>(plan.fields.size());
    setup.nr_slots = out->slots_ = kSlots;
    setup.mems = reinterpret_cast<std::uintptr_t>(plan.mems.data());
    setup.fields = reinterpret_cast<std::uintptr_t>(plan.fields.data());
    setup.loaded_vmcs = plan.loaded_vmcs;
    setup.vmcs_in_loaded = plan.vmcs_in_loaded;
    setup.vmcs02 = plan.vmcs02;
    setup.ring_bytes = out->ring_bytes_ = what.ring_bytes;
    setup.armed = armed;
    setup.watchdog_ms = static_cast<std::uint32_t>(std::chrono::milliseconds(kWatchdog).count());
    setup.flags = what.writes ? VMXSCOPE_SETUP_WRITES : 0;
    setup.watch = watch_of(plan, what);
    if (::ioctl(out->fd_, VMXSCOPE_IOC_SETUP, &setup) < 0) return tl::unexpected(setup_error(errno, plan));
    void* map = ::mmap(nullptr, kPage + what.ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, out->fd_, 0);
    if (map == MAP_FAILED) return core::fail(fmt::format("The module's ring cannot be mapped: {}.", std::strerror(errno)));
    out->map_ = static_cast<std::byte*>(map);
    out->pinger_ = std::thread([device = out.get()] { device->keep_alive(); });
    return out;
}

Device::~Device() {
    ending_ = true;
    if (pinger_.joinable()) pinger_.join();
    if (map_) ::munmap(map_, kPage + ring_bytes_);
    if (fd_ >= 0) ::close(fd_);  // the module lets every vCPU go
}

void Device::keep_alive() {
    const auto slice = std::chrono::milliseconds(50);
    for (auto slept = kPing / slice * slice; !ending_; slept += slice) {
        if (slept >= kPing) {
            ::ioctl(fd_, VMXSCOPE_IOC_PING);
            slept = 0 * slice;
        }
        std::this_thread::sleep_for(slice);
    }
}

core::Result<void> Device::write(vmxscope_write& w) {
    if (::ioctl(fd_, VMXSCOPE_IOC_WRITE, &w) == 0) return {};
    if (errno == EAGAIN) return core::fail("The vCPU is not held.", "Interrupt it first.");
    if (errno == EIO) return core::fail("The processor, or the kernel's memory, refused it.");
    return core::fail(fmt::format("The module refused it: {}.", std::strerror(errno)));
}

core::Result<void> Device::run(std::uint32_t slot, std::uint32_t armed, std::uint32_t flags) {
    const vmxscope_run c{slot, armed, flags, 0};
    if (::ioctl(fd_, VMXSCOPE_IOC_RUN, &c) < 0) return core::fail(fmt::format("The module refused to run a vCPU: {}.", std::strerror(errno)));
    return {};
}

core::Result<void> Device::watch(ProbePlan& plan, WatchFor what) {
    what.ring_bytes = ring_bytes_;
    const vmxscope_watch c = watch_of(plan, what);
    if (::ioctl(fd_, VMXSCOPE_IOC_WATCH, &c) < 0) return core::fail(fmt::format("The module refused to change what is watched: {}.", std::strerror(errno)));
    return {};
}

core::Result<std::array<vmx::Value, VMXSCOPE_NR_MSRS>> Device::capability_msrs() {
    vmxscope_msrs c{};
    if (::ioctl(fd_, VMXSCOPE_IOC_MSRS, &c) < 0) return core::fail(fmt::format("The processor's capability MSRs cannot be read: {}.", std::strerror(errno)));
    std::array<vmx::Value, VMXSCOPE_NR_MSRS> out{};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = (c.known >> i) & 1 ? vmx::Value::of(c.value[i]) : vmx::Value::unsupported();
    return out;
}

std::uint64_t Device::tsc_khz() {
    vmxscope_msrs c{};
    return ::ioctl(fd_, VMXSCOPE_IOC_MSRS, &c) < 0 ? 0 : c.tsc_khz;
}

std::uint64_t Device::waiting() const {
    auto* page = reinterpret_cast<vmxscope_ring_page*>(map_);
    return std::atomic_ref(page->head).load(std::memory_order_acquire) - page->tail;
}

core::Result<SessionStatus> Device::status() {
    std::vector<vmxscope_slot_status> slots(slots_);
    vmxscope_status c{};
    c.slots = reinterpret_cast<std::uintptr_t>(slots.data());
    c.nr_slots = slots_;
    if (::ioctl(fd_, VMXSCOPE_IOC_STATUS, &c) < 0) return core::fail(fmt::format("The module's status cannot be read: {}.", std::strerror(errno)));
    SessionStatus out;
    out.missed = c.missed;
    for (std::uint32_t i = 0; i < std::min(c.nr_slots, slots_); ++i) out.slots.push_back({slots[i].tid, slots[i].state == VMXSCOPE_HELD, slots[i].lost});
    return out;
}

core::Result<std::size_t> Device::read(std::chrono::milliseconds limit, const std::function<void(const RawRecord&)>& visit, std::size_t most) {
    auto* page = reinterpret_cast<vmxscope_ring_page*>(map_);
    std::uint64_t head = std::atomic_ref(page->head).load(std::memory_order_acquire);
    if (head == page->tail && limit.count() > 0) {
        pollfd p{fd_, POLLIN, 0};
        ::poll(&p, 1, static_cast<int>(limit.count()));
        head = std::atomic_ref(page->head).load(std::memory_order_acquire);
    }
    std::size_t count = 0;
    const auto tail = walk_ring({map_ + kPage, ring_bytes_}, page->tail, head, [&](const RawRecord& r) {
        ++count;
        visit(r);
    }, most);
    if (!tail) return tl::unexpected(tail.error());
    std::atomic_ref(page->tail).store(*tail, std::memory_order_release);
    return count;
}

}  // namespace vmxscope::kvm
