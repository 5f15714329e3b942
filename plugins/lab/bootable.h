// Can QEMU's -kernel load this file? Asked before a lab is started for it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "core/result.h"

namespace vmxscope::lab {

enum class BootKind : std::uint8_t { Multiboot, Pvh, Linux };

/// How QEMU loads an image whose first bytes these are (the first 64 KiB are enough). Sources: the Multiboot
/// specification 0.6.96 section 3.1; Xen's elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY); Linux's boot.rst ("HdrS" at 0x202);
/// and in the same order as QEMU's x86_load_linux(). `name` is for the messages.
core::Result<BootKind> boot_kind(std::span<const std::uint8_t> image, std::string_view name);
core::Result<BootKind> boot_kind(const std::filesystem::path& file);

}  // namespace vmxscope::lab
