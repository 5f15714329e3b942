// "trace:FILE": a recording in a guest's place.
#pragma once

#include <filesystem>
#include <memory>

#include "core/target.h"

namespace vmxscope::replay {

std::unique_ptr<core::Backend> replay_backend();

/// The recording as a target that stands at its first transition. Steps end where those of the guest would have ended,
/// and go back as well; a step that finds no more ends with Stop::Why::End, and the target can be used on. Its history
/// is the whole file, wherever it stands. Fails for what is no trace, or has no transitions.
core::Result<std::unique_ptr<core::Target>> replay(const std::filesystem::path& file, const core::Progress& progress);

}  // namespace vmxscope::replay
