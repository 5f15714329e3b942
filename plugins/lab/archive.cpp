#include "plugins/lab/archive.h"

#include <sys/stat.h>

#include <utility>

#include <fmt/format.h>

namespace vmxscope::lab {

void Archive::add_folder(std::string_view path) {
    add(path, {}, S_IFDIR | 0755);
}

void Archive::add_file(std::string_view path, std::string_view content, unsigned mode) {
    add(path, content, S_IFREG | mode);
}

/// One entry: 13 numbers of 8 hexadecimal digits after the magic, then name and content, each padded to 4 bytes
/// (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
void Archive::add(std::string_view path, std::string_view content, unsigned type_and_mode) {
    const auto pad = [this] { bytes_.resize((bytes_.size() + 3) & ~std::size_t{3}); };
    bytes_ += fmt::format("070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}",
                          next_inode_++, type_and_mode, 0, 0, 1, 0, content.size(), 0, 0, 0, 0, path.size() + 1, 0);
    bytes_ += path;
    bytes_ += '\0';
    pad();
    bytes_ += content;
    pad();
}

std::string Archive::finish() && {
    add("TRAILER!!!", {}, 0);
    return std::move(bytes_);
}

}  // namespace vmxscope::lab
