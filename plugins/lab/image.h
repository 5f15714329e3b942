// The lab's image: what labs boot, or begin from. image/build makes it in the cache.
#pragma once

#include <filesystem>

#include "core/result.h"
#include "core/target.h"

namespace vmxscope::lab {

struct Image {
    std::filesystem::path boot_cd;  // a CD image with the kernel and the lab's system
    std::filesystem::path machine;  // folder: bochsrc, and state/, Bochs's kept state of a lab that waits
    std::filesystem::path product;  // a cpio archive: the agent, the kernel module, the guests
};

/// Builds what is missing or out of date (the first time takes minutes), for labs with `cpus` emulated processors.
core::Result<Image> make_image(unsigned cpus, const core::Progress& progress);

}  // namespace vmxscope::lab
