#include "core/places.h"

namespace vmxscope::core {

namespace fs = std::filesystem;

fs::path program_folder() {
    std::error_code ignored;
    return fs::read_symlink("/proc/self/exe", ignored).parent_path();
}

fs::path resource(const char* name) {
    std::error_code ignored;
    const fs::path installed = program_folder().parent_path() / VMXSCOPE_DATADIR / name;
    return fs::exists(installed, ignored) ? installed : fs::path(VMXSCOPE_RESOURCES) / name;
}

fs::path plugin_folder() {
    std::error_code ignored;
    const fs::path prefix = program_folder().parent_path(), installed = prefix / VMXSCOPE_LIBDIR / "plugins";
    return fs::exists(installed, ignored) ? installed : prefix / "lib/vmxscope/plugins";
}

}  // namespace vmxscope::core
