#include "plugins/lab/bootable.h"

#include <elf.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace vmxscope::lab {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint32_t kMultibootMagic = 0x1badb002, kMultiboot2Magic = 0xe85250d6;
constexpr std::uint32_t kMultibootHasAddresses = 1u << 16;
constexpr std::size_t kMultibootSearch = 8192, kMultiboot2Search = 32768;  // where the headers may be
constexpr std::uint32_t kXenPhys32Entry = 18;                              // XEN_ELFNOTE_PHYS32_ENTRY

template <typename T>
bool read_at(Bytes image, std::uint64_t offset, T& out) {
    if (offset > image.size() || image.size() - offset < sizeof out) return false;
    std::memcpy(&out, image.data() + offset, sizeof out);
    return true;
}

struct MultibootHeader {
    std::uint32_t magic, flags, checksum;
};

bool find_multiboot(Bytes image, MultibootHeader& found) {
    for (std::size_t at = 0; at < kMultibootSearch && read_at(image, at, found); at += 4)
        if (found.magic == kMultibootMagic && found.magic + found.flags + found.checksum == 0) return true;
    return false;
}

bool has_multiboot2(Bytes image) {
    std::uint32_t magic = 0;
    for (std::size_t at = 0; at < kMultiboot2Search && read_at(image, at, magic); at += 8)
        if (magic == kMultiboot2Magic) return true;
    return false;
}

bool notes_have_pvh_entry(Bytes image, std::uint64_t offset, std::uint64_t size) {
    const std::uint64_t end = offset + size;
    Elf64_Nhdr note;  // the same in both ELF classes
    while (offset < end && read_at(image, offset, note)) {
        char name[4] = {};
        read_at(image, offset + sizeof note, name);
        if (note.n_type == kXenPhys32Entry && note.n_namesz == 4 && std::memcmp(name, "Xen", 4) == 0) return true;
        const auto padded = [](std::uint64_t n) { return (n + 3) & ~std::uint64_t{3}; };
        offset += sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
    }
    return false;
}

template <typename Header, typename Segment>
bool has_pvh_entry(Bytes image) {
    Header header;
    if (!read_at(image, 0, header)) return false;
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        Segment segment;
        if (!read_at(image, header.e_phoff + std::uint64_t{i} * header.e_phentsize, segment)) return false;
        if (segment.p_type == PT_NOTE && notes_have_pvh_entry(image, segment.p_offset, segment.p_filesz)) return true;
    }
    return false;
}

}  // namespace

core::Result<BootKind> boot_kind(Bytes image, std::string_view name) {
    const bool elf = image.size() > EI_CLASS && std::memcmp(image.data(), ELFMAG, SELFMAG) == 0;
    const bool elf64 = elf && image[EI_CLASS] == ELFCLASS64;
    MultibootHeader multiboot{};
    if (find_multiboot(image, multiboot)) {
        if (elf64 && !(multiboot.flags & kMultibootHasAddresses))
            return core::fail(
                fmt::format("{} is a 64-bit ELF file with a multiboot header, which QEMU does not load.", name),
                "Convert it with: objcopy -I elf64-x86-64 -O elf32-i386 IN OUT (the code may stay 64-bit), "
                "or give it a PVH note instead.");
        return BootKind::Multiboot;
    }
    if (elf && (elf64 ? has_pvh_entry<Elf64_Ehdr, Elf64_Phdr>(image) : has_pvh_entry<Elf32_Ehdr, Elf32_Phdr>(image)))
        return BootKind::Pvh;
    std::uint32_t linux_magic = 0;
    if (read_at(image, 0x202, linux_magic) && std::memcmp(&linux_magic, "HdrS", 4) == 0) return BootKind::Linux;
    const char* remedy =
        "Give it a multiboot header in its first 8 KiB, or an ELF note of type XEN_ELFNOTE_PHYS32_ENTRY.";
    if (has_multiboot2(image))
        return core::fail(fmt::format("{} has a multiboot 2 header, and QEMU loads multiboot 1 only.", name), remedy);
    return core::fail(fmt::format("{} is neither a multiboot nor a PVH nor a Linux image.", name), remedy);
}

core::Result<BootKind> boot_kind(const std::filesystem::path& file) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(file, error))
        return core::fail(fmt::format("There is no file {}.", file.string()), "Name the image of a hypervisor.");
    std::ifstream in(file, std::ios::binary);
    std::vector<std::uint8_t> begin(std::size_t{1} << 16);
    in.read(reinterpret_cast<char*>(begin.data()), static_cast<std::streamsize>(begin.size()));
    if (in.bad() || (in.gcount() == 0 && !in.eof()))
        return core::fail(fmt::format("{} cannot be read.", file.string()), "Check its permissions.");
    begin.resize(static_cast<std::size_t>(in.gcount()));
    return boot_kind(begin, file.string());
}

}  // namespace vmxscope::lab
