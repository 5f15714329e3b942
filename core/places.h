// Where this program's own files lie: relative to it where it was installed, else where it was built.
#pragma once

#include <filesystem>

namespace vmxscope::core {

/// Of the running program; other programs of ours lie beside it.
std::filesystem::path program_folder();

/// "cpus", "traces": a part of resources/, as installed beside this program, else in the source.
std::filesystem::path resource(const char* name);

/// The one that belongs to this program.
std::filesystem::path plugin_folder();

}  // namespace vmxscope::core
