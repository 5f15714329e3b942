// A folder for what root writes: one that nobody else can change, or put another in the place of.
#pragma once

#include <sys/types.h>

#include <filesystem>

#include "core/result.h"

namespace vmxscope::core {

/// Makes it and what is missing on the way there, for its owner alone (0700). Fails where any folder of the path is a
/// link, is neither `owner`'s nor root's, or can be written by others (but on the way one like /tmp may be, where each
/// removes only what is their own).
Result<void> make_trusted_folder(const std::filesystem::path& folder, uid_t owner);

}  // namespace vmxscope::core
