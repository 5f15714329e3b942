#include "core/import/import.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "core/fd.h"
#include "core/import/binary_dump.h"
#include "core/import/text_dump.h"
#include "vmx/bits.h"

namespace vmxscope::core {
namespace {

using Bytes = std::span<const std::byte>;

struct Named {
    DumpFormat format;
    std::string_view name, description;
};
constexpr Named kFormats[] = {
    {DumpFormat::KvmLog, "kvm", "KVM's dump_vmcs, from the kernel's log"},
    {DumpFormat::XenConsole, "xen", "Xen's VMCS dump, from its console"},
    {DumpFormat::Vmcs12Page, "vmcs12", "KVM's vmcs12, from memory"},
    {DumpFormat::NestedState, "nested-state", "a buffer of KVM_GET_NESTED_STATE"},
    {DumpFormat::QemuMigration, "qemu", "a migration stream of QEMU's"},
};

// KVM_STATE_NESTED_* and KVM_STATE_NESTED_SMM_*, uapi/asm/kvm.h.
constexpr vmx::BitName kFlags[] = {{0, "GUEST_MODE"}, {1, "RUN_PENDING"}, {2, "EVMCS"}, {3, "MTF_PENDING"}};
constexpr vmx::BitName kSmmFlags[] = {{0, "GUEST_MODE"}, {1, "VMXON"}};

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The binary forms are told by their magic numbers, so they go first.
std::optional<DumpFormat> detect(Bytes bytes) {
    if (looks_like_vmcs12(bytes)) return DumpFormat::Vmcs12Page;
    if (looks_like_nested_state(bytes)) return DumpFormat::NestedState;
    if (looks_like_text_dump(as_text(bytes)))
        return looks_like_xen(as_text(bytes)) ? DumpFormat::XenConsole : DumpFormat::KvmLog;
    if (looks_like_qemu(bytes)) return DumpFormat::QemuMigration;
    return std::nullopt;
}

Result<Imported> read_as(DumpFormat format, Bytes bytes) {
    switch (format) {
        case DumpFormat::Vmcs12Page: return read_vmcs12_page(bytes);
        case DumpFormat::NestedState: return read_nested_state(bytes);
        case DumpFormat::QemuMigration: return read_qemu_stream(bytes);
        default: break;
    }
    Imported result = read_text_dump(as_text(bytes));
    if (result.vmcses.empty())
        return fail("There is no VMCS in this text.", "A dump begins with the line \"*** Guest State ***\".");
    return result;
}

/// The last kMostImportBytes of `fd`: what is sought in a long stream, the devices, is at its end.
Result<std::vector<std::byte>> read_end(int fd, const std::string& name, bool& cut) {
    constexpr std::size_t kChunk = 1 << 20;
    std::vector<std::byte> bytes;
    for (;;) {
        const std::size_t had = bytes.size();
        bytes.resize(had + kChunk);
        const ssize_t n = ::read(fd, bytes.data() + had, kChunk);
        bytes.resize(had + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        if (n < 0 && errno != EINTR) return fail(fmt::format("{} cannot be read: {}.", name, std::strerror(errno)));
        const bool over = bytes.size() > kMostImportBytes;
        cut |= over;
        if (over && (n == 0 || bytes.size() > 2 * kMostImportBytes))
            bytes.erase(bytes.begin(), bytes.end() - kMostImportBytes);
        if (n == 0) return bytes;
    }
}

}  // namespace

std::string_view name_of(DumpFormat format) {
    for (const Named& n : kFormats)
        if (n.format == format) return n.name;
    return "?";
}

std::string_view description_of(DumpFormat format) {
    for (const Named& n : kFormats)
        if (n.format == format) return n.description;
    return "?";
}

std::optional<DumpFormat> dump_format_by_name(std::string_view name) {
    for (const Named& n : kFormats)
        if (n.name == name) return n.format;
    return std::nullopt;
}

std::string_view name_of(VmcsRole role) {
    switch (role) {
        case VmcsRole::Vmcs12: return "vmcs12";
        case VmcsRole::ShadowVmcs12: return "shadow vmcs12";
        default: return "vmcs01 or vmcs02";
    }
}

std::string nested_flags_text(std::uint16_t flags) {
    return vmx::join_bits(kFlags, flags);
}

std::string nested_smm_flags_text(std::uint16_t flags) {
    return vmx::join_bits(kSmmFlags, flags);
}

Result<Imported> import_bytes(Bytes bytes, std::optional<DumpFormat> format) {
    if (!format) format = detect(bytes);
    if (!format)
        return fail("This is no VMCS dump that is known here.",
                    "Known are: kvm (dmesg), xen, vmcs12, nested-state and qemu; --format forces one.");
    auto result = read_as(*format, bytes);
    if (result) result->format = *format;
    return result;
}

Result<Imported> import_file(const std::string& path, std::optional<DumpFormat> format) {
    const bool standard_input = path == "-";
    const Fd file(standard_input ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const std::string name = standard_input ? "Standard input" : fmt::format("'{}'", path);
    if (!standard_input && file.get() < 0)
        return fail(fmt::format("{} cannot be opened: {}.", name, std::strerror(errno)));
    bool cut = false;
    const auto bytes = read_end(standard_input ? STDIN_FILENO : file.get(), name, cut);
    if (!bytes) return tl::unexpected(bytes.error());
    auto result = import_bytes(*bytes, format);
    if (result && cut)
        result->warnings.push_back(
            fmt::format("{} is long: only its last {} MiB were looked at.", name, kMostImportBytes >> 20));
    return result;
}

}  // namespace vmxscope::core
