// A cpio archive ("newc", what the kernel and busybox unpack), as text: how files get into a lab.
#pragma once

#include <string>
#include <string_view>

namespace vmxscope::lab {

class Archive {
  public:
    /// `path` relative to the lab's root ("lab/instance/config"); its folders must exist or have been added.
    void add_folder(std::string_view path);
    void add_file(std::string_view path, std::string_view content, unsigned mode = 0644);
    /// The whole archive, with its end mark.
    std::string finish() &&;

  private:
    void add(std::string_view path, std::string_view content, unsigned type_and_mode);

    std::string bytes_;
    unsigned next_inode_ = 1;
};

}  // namespace vmxscope::lab
