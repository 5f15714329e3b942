#include "plugins/lab/bootable.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "plugins/lab/catalog.h"
#include "temporary_folder.h"

using namespace vmxscope::lab;

namespace {

using Bytes = std::vector<std::uint8_t>;

template <typename T>
void put(Bytes& image, std::size_t at, const T& value) {
    if (image.size() < at + sizeof value) image.resize(at + sizeof value);
    std::memcpy(image.data() + at, &value, sizeof value);
}

Bytes elf64() {
    Bytes image;
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    put(image, 0, header);
    return image;
}

void put_multiboot(Bytes& image, std::size_t at, std::uint32_t flags) {
    const std::uint32_t magic = 0x1badb002;
    put(image, at, magic);
    put(image, at + 4, flags);
    put(image, at + 8, std::uint32_t(0u - magic - flags));
}

std::string what_is_wrong_with(const Bytes& image) {
    const auto kind = boot_kind(image, "x.elf");
    return kind ? "" : kind.error().what;
}

}  // namespace

TEST(Bootable, a_multiboot_header_is_found_in_the_first_8_KiB_and_nowhere_else) {
    Bytes image(8192 + 64);
    put_multiboot(image, 8188, 0);
    EXPECT_EQ(boot_kind(image, "x"), BootKind::Multiboot);
    image.assign(8192 + 64, 0);
    put_multiboot(image, 8192, 0);
    EXPECT_FALSE(boot_kind(image, "x"));
}

TEST(Bootable, a_multiboot_header_with_a_wrong_checksum_is_none) {
    Bytes image(4096);
    put_multiboot(image, 64, 3);
    image[72] ^= 1;
    EXPECT_NE(what_is_wrong_with(image).find("neither"), std::string::npos);
}

TEST(Bootable, a_64_bit_ELF_file_with_multiboot_is_refused_unless_it_gives_addresses) {
    Bytes image = elf64();
    put_multiboot(image, 256, 0);
    EXPECT_NE(what_is_wrong_with(image).find("64-bit ELF"), std::string::npos);
    image = elf64();
    put_multiboot(image, 256, 1u << 16);
    EXPECT_EQ(boot_kind(image, "x"), BootKind::Multiboot);
}

TEST(Bootable, a_PVH_note_is_found_behind_another_note) {
    Bytes image = elf64();
    Elf64_Ehdr header;
    std::memcpy(&header, image.data(), sizeof header);
    header.e_phoff = sizeof header;
    header.e_phnum = 1;
    header.e_phentsize = sizeof(Elf64_Phdr);
    put(image, 0, header);
    Elf64_Phdr segment{};
    segment.p_type = PT_NOTE;
    segment.p_offset = 256;
    segment.p_filesz = 64;
    put(image, sizeof header, segment);
    put(image, 256, Elf64_Nhdr{4, 5, 3});
    put(image, 268, std::array<char, 4>{"GNU"});
    put(image, 256 + 12 + 4 + 8, Elf64_Nhdr{4, 8, 18});
    put(image, 256 + 12 + 4 + 8 + 12, std::array<char, 4>{"Xen"});
    EXPECT_EQ(boot_kind(image, "x"), BootKind::Pvh);
    image[256 + 24 + 8] = 17;  // another type of Xen note
    EXPECT_FALSE(boot_kind(image, "x"));
}

TEST(Bootable, a_Linux_image_is_known_by_HdrS) {
    Bytes image(1024);
    put(image, 0x202, std::array<char, 4>{'H', 'd', 'r', 'S'});
    EXPECT_EQ(boot_kind(image, "x"), BootKind::Linux);
}

TEST(Bootable, multiboot_2_is_refused_by_name) {
    Bytes image(1024);
    put(image, 64, std::uint32_t{0xe85250d6});
    EXPECT_NE(what_is_wrong_with(image).find("multiboot 2"), std::string::npos);
}

TEST(Bootable, nothing_is_read_beyond_a_short_or_lying_file) {
    for (std::size_t size = 0; size < 200; ++size) {
        Bytes image = elf64();
        reinterpret_cast<Elf64_Ehdr*>(image.data())->e_phoff = ~0ull - 8;
        reinterpret_cast<Elf64_Ehdr*>(image.data())->e_phnum = 0xffff;
        image.resize(size);
        EXPECT_FALSE(boot_kind(image, "x")) << size;
    }
}

TEST(Bootable, a_missing_file_and_a_folder_are_named) {
    const auto missing = boot_kind(std::filesystem::path("/nowhere/x.elf"));
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().what.find("/nowhere/x.elf"), std::string::npos);
    TemporaryFolder folder;
    EXPECT_FALSE(boot_kind(folder.path()));
    EXPECT_FALSE(boot_kind(folder.write("empty", "")));
}

TEST(Bootable, every_guest_of_the_catalog_is_one) {
    for (const CatalogEntry& entry : catalog()) {
        const auto kind = boot_kind(std::filesystem::path(GUESTS) / (std::string(entry.name) + ".elf"));
        EXPECT_TRUE(kind) << entry.name << ": " << (kind ? "" : kind.error().what);
    }
}
