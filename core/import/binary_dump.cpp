#include "core/import/binary_dump.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "nested/vmcs12.h"

namespace vmxscope::core {
namespace {

using Bytes = std::span<const std::byte>;

// struct kvm_nested_state, uapi/asm/kvm.h.
constexpr std::size_t kHeaderSize = 128;
constexpr std::size_t kPageSize = nested::kVmcs12RegionSize;
constexpr std::uint16_t kFormatVmx = 0, kFormatSvm = 1;
constexpr std::uint16_t kKnownFlags = 0x000f;
constexpr std::uint16_t kFlagEvmcs = 4;
constexpr std::uint32_t kDeadlineValid = 1;  // KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE
constexpr std::uint32_t kShadowBit = 1u << 31;

/// An integer at the beginning; 0 where the bytes end before it does.
template <typename Int>
Int little(Bytes bytes, std::size_t at) {
    Int value = 0;
    if (at <= bytes.size() && bytes.size() - at >= sizeof value) std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

/// What vmcs12 holds where it has no field: paddings, and what lies behind it in its page. Bounds are struct vmcs12's.
struct Hole {
    std::size_t begin, end;
};
constexpr Hole kHoles[] = {
    {offsetof(nested::Vmcs12, padding), offsetof(nested::Vmcs12, io_bitmap_a)},
    {offsetof(nested::Vmcs12, padding64), offsetof(nested::Vmcs12, cr0_guest_host_mask)},
    {offsetof(nested::Vmcs12, dead_space), offsetof(nested::Vmcs12, exit_qualification)},
    {offsetof(nested::Vmcs12, paddingl), offsetof(nested::Vmcs12, pin_based_vm_exec_control)},
    {offsetof(nested::Vmcs12, padding32), offsetof(nested::Vmcs12, virtual_processor_id)},
    {sizeof(nested::Vmcs12), kPageSize},
};

void add_holes(Bytes page, ImportedVmcs& vmcs) {
    constexpr std::size_t kMost = 32;
    for (const Hole& hole : kHoles)
        for (std::size_t at = hole.begin; at < std::min(hole.end, page.size()) && vmcs.others.size() < kMost; at += 8) {
            std::uint64_t value = 0;
            std::memcpy(&value, page.data() + at, std::min({std::size_t{8}, hole.end - at, page.size() - at}));
            if (value) vmcs.others.push_back({fmt::format("bytes at {}", at), fmt::format("{:#x}", value)});
        }
}

void warn_of_header(const nested::Vmcs12Header& header, VmcsRole role, std::vector<std::string>& warnings) {
    const auto revision = static_cast<std::uint32_t>(header.revision.bits);
    if ((revision & ~kShadowBit) != nested::kVmcs12Revision)
        warnings.push_back(
            fmt::format("The revision of {} is {:#x}; KVM's is {:#x}, and only that one's layout is known.",
                        name_of(role), revision, nested::kVmcs12Revision));
    if (header.abort.known() && header.abort.bits)
        warnings.push_back(fmt::format("{} has VMX-abort indicator {}.", name_of(role), header.abort.bits));
    if (header.launch_state.known() && header.launch_state.bits > 1)
        warnings.push_back(fmt::format("{} has launch state {}, which is neither clear nor launched.", name_of(role),
                                       header.launch_state.bits));
}

/// One vmcs12 from the beginning of `page`, which may be short.
ImportedVmcs vmcs12_from(Bytes page, VmcsRole role, std::vector<std::string>& warnings) {
    page = page.first(std::min(page.size(), kPageSize));
    const nested::Vmcs12Header header = nested::vmcs12_header(page);
    ImportedVmcs vmcs;
    vmcs.role = role;
    vmcs.label = fmt::format("revision {:#x}{}{}", header.revision.bits & ~std::uint64_t{kShadowBit},
                             header.revision.bits & kShadowBit ? ", a shadow VMCS" : "",
                             !header.launch_state.known()    ? ""
                             : header.launch_state.bits == 1 ? ", launched"
                                                             : ", clear");
    vmcs.image = nested::vmcs12_image(page);
    add_holes(page, vmcs);
    warn_of_header(header, role, warnings);
    if (page.size() < sizeof(nested::Vmcs12))
        warnings.push_back(fmt::format("{} ends after {} bytes of {}: the fields behind are not read.", name_of(role),
                                       page.size(), sizeof(nested::Vmcs12)));
    return vmcs;
}

NestedStateHeader header_from(Bytes bytes) {
    NestedStateHeader h;
    h.flags = little<std::uint16_t>(bytes, 0);
    h.size = little<std::uint32_t>(bytes, 4);
    h.vmxon_pa = little<std::uint64_t>(bytes, 8);
    h.vmcs12_pa = little<std::uint64_t>(bytes, 16);
    h.smm_flags = little<std::uint16_t>(bytes, 24);
    if (little<std::uint32_t>(bytes, 28) & kDeadlineValid)
        h.preemption_timer_deadline = little<std::uint64_t>(bytes, 32);
    return h;
}

void warn_of_state(const NestedStateHeader& h, std::vector<std::string>& warnings) {
    if (h.flags & ~kKnownFlags)
        warnings.push_back(fmt::format("Nested-state flags {:#x} are not known.", h.flags & ~kKnownFlags));
    if (h.vmxon_pa == ~0ULL) warnings.push_back("L1 was not in VMX operation.");
    if (h.flags & kFlagEvmcs) warnings.push_back("L1 used an enlightened VMCS: vmcs12 is KVM's copy of it.");
}

// QEMU's stream, migration/savevm.c and migration/vmstate.c: integers are big-endian; a subsection is the byte 5, the
// length of its name, the name, a 32-bit version and its fields. target/i386/kvm: cpu/nested_state and what is in it.
constexpr std::string_view kFileMagic = "QEVM";
constexpr std::string_view kState = "cpu/nested_state", kVmx = "cpu/kvm_nested_state/vmx",
                           kVmcs12 = "cpu/kvm_nested_state/vmx/vmcs12",
                           kShadow = "cpu/kvm_nested_state/vmx/shadow_vmcs12";

std::string subsection_head(std::string_view name) {
    return std::string{'\5', static_cast<char>(name.size())} + std::string(name);
}

class Stream {
  public:
    explicit Stream(Bytes bytes) : rest_(bytes) {}

    /// To just behind the head and version of the next subsection `name`, wherever it is.
    bool find(std::string_view name) {
        const std::string head = subsection_head(name);
        const auto found = std::search(rest_.begin(), rest_.end(), head.begin(), head.end(),
                                       [](std::byte b, char c) { return static_cast<char>(b) == c; });
        if (found == rest_.end()) return false;
        rest_ = rest_.subspan(static_cast<std::size_t>(found - rest_.begin()));
        return take(name);
    }

    /// The same when it comes right here.
    bool take(std::string_view name) {
        const std::string head = subsection_head(name);
        if (rest_.size() < head.size() + 4 || std::memcmp(rest_.data(), head.data(), head.size()) != 0) return false;
        rest_ = rest_.subspan(head.size() + 4);
        return true;
    }

    template <typename Int>
    Int big() {
        Int value = 0;
        for (std::size_t i = 0; i < sizeof value && !rest_.empty(); ++i, rest_ = rest_.subspan(1))
            value = static_cast<Int>(value << 8 | static_cast<unsigned char>(rest_.front()));
        return value;
    }

    Bytes page() {
        const Bytes page = rest_.first(std::min(rest_.size(), kPageSize));
        rest_ = rest_.subspan(page.size());
        return page;
    }

  private:
    Bytes rest_;
};

/// What follows a "cpu/nested_state": one vCPU's.
void read_vcpu(Stream& stream, Imported& result) {
    const std::string label = fmt::format("vCPU number {} of the stream", result.nested.size());
    NestedStateHeader h;
    h.flags = stream.big<std::uint16_t>();
    const auto format = stream.big<std::uint16_t>();
    h.size = stream.big<std::uint32_t>();
    if (format == kFormatSvm) {
        result.warnings.push_back(fmt::format("{} has the nested state of AMD's SVM.", label));
        return;
    }
    if (!stream.take(kVmx)) {
        result.warnings.push_back(fmt::format("{} has nested state in format {} that is not VMX's.", label, format));
        return;
    }
    h.vmxon_pa = stream.big<std::uint64_t>();
    h.vmcs12_pa = stream.big<std::uint64_t>();
    h.smm_flags = stream.big<std::uint16_t>();
    warn_of_state(h, result.warnings);
    const auto add = [&](VmcsRole role) {
        if (result.vmcses.size() >= kMostVmcses) return;
        ImportedVmcs vmcs = vmcs12_from(stream.page(), role, result.warnings);
        vmcs.label = label + ", " + vmcs.label;
        result.vmcses.push_back(std::move(vmcs));
    };
    if (stream.take(kVmcs12)) add(VmcsRole::Vmcs12);
    if (stream.take(kShadow)) add(VmcsRole::ShadowVmcs12);
    result.nested.push_back(h);
}

}  // namespace

bool looks_like_vmcs12(Bytes bytes) {
    return bytes.size() >= 4 && (little<std::uint32_t>(bytes, 0) & ~kShadowBit) == nested::kVmcs12Revision;
}

bool looks_like_nested_state(Bytes bytes) {
    if (bytes.size() < kHeaderSize || little<std::uint16_t>(bytes, 2) > kFormatSvm) return false;
    if (looks_like_vmcs12(bytes.subspan(kHeaderSize))) return true;
    const auto size = little<std::uint32_t>(bytes, 4);
    const bool plausible =
        size == kHeaderSize || size == kHeaderSize + kPageSize || size == kHeaderSize + 2 * kPageSize;
    return plausible && (little<std::uint16_t>(bytes, 0) & ~kKnownFlags) == 0;
}

bool looks_like_qemu(Bytes bytes) {
    if (bytes.size() >= 4 && std::memcmp(bytes.data(), kFileMagic.data(), 4) == 0) return true;
    return Stream(bytes).find(kState);  // behind another header, such as libvirt's
}

Result<Imported> read_vmcs12_page(Bytes bytes) {
    if (bytes.size() < offsetof(nested::Vmcs12, io_bitmap_a) + 8)
        return fail(fmt::format("{} bytes are too few for a vmcs12.", bytes.size()),
                    "Its fields begin at byte 40, and it has 998 bytes.");
    Imported result;
    result.vmcses.push_back(vmcs12_from(bytes, VmcsRole::Vmcs12, result.warnings));
    return result;
}

Result<Imported> read_nested_state(Bytes bytes) {
    if (bytes.size() < kHeaderSize)
        return fail(fmt::format("{} bytes are too few for a nested state: its header alone has {}.", bytes.size(),
                                kHeaderSize));
    if (little<std::uint16_t>(bytes, 2) != kFormatVmx)
        return fail("This nested state is not VMX's.", "Its format is AMD's SVM or unknown.");
    Imported result;
    const NestedStateHeader h = header_from(bytes);
    result.nested.push_back(h);
    warn_of_state(h, result.warnings);
    if (h.size != bytes.size())
        result.warnings.push_back(fmt::format("The header says {} bytes, there are {}.", h.size, bytes.size()));
    const Bytes data = bytes.subspan(kHeaderSize);
    if (data.size() < offsetof(nested::Vmcs12, io_bitmap_a) + 8)
        return fail("The nested state holds no vmcs12.",
                    "L1 had no current VMCS when it was taken, or the file is cut off.");
    result.vmcses.push_back(vmcs12_from(data, VmcsRole::Vmcs12, result.warnings));
    if (data.size() > kPageSize)
        result.vmcses.push_back(vmcs12_from(data.subspan(kPageSize), VmcsRole::ShadowVmcs12, result.warnings));
    return result;
}

Result<Imported> read_qemu_stream(Bytes bytes) {
    Imported result;
    Stream stream(bytes);
    while (result.nested.size() < kMostVmcses && stream.find(kState)) read_vcpu(stream, result);
    if (result.vmcses.empty())
        return fail("There is no vmcs12 in this migration stream.",
                    result.warnings.empty()
                        ? "QEMU saves one for each vCPU whose guest is in VMX operation; a compressed "
                          "stream has to be unpacked first."
                        : result.warnings.front());
    return result;
}

}  // namespace vmxscope::core
