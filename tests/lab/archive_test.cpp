#include "plugins/lab/archive.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "plugins/lab/sockets.h"
#include "temporary_folder.h"

using namespace vmxscope::lab;

TEST(Archive, cpio_unpacks_what_was_put_in) {
    Archive archive;
    archive.add_folder("lab");
    archive.add_folder("lab/instance");
    archive.add_file("lab/instance/config", "cpus=2\n");
    archive.add_file("lab/instance/empty", "");
    const std::string odd("a\0b\nTRAILER!!!\xff", 16);
    archive.add_file("lab/instance/kernel", odd, 0755);
    TemporaryFolder folder;
    const auto file = folder.write("archive", std::move(archive).finish());
    const std::string command =
        "cd " + shell_quoted(folder.path().string()) + " && cpio -id --quiet <" + shell_quoted(file.string());
    ASSERT_EQ(std::system(command.c_str()), 0);
    EXPECT_EQ(content_of(folder.path() / "lab/instance/config"), "cpus=2\n");
    EXPECT_EQ(content_of(folder.path() / "lab/instance/kernel"), odd);
    EXPECT_EQ(std::filesystem::file_size(folder.path() / "lab/instance/empty"), 0u);
    const auto permissions = std::filesystem::status(folder.path() / "lab/instance/kernel").permissions();
    EXPECT_NE(permissions & std::filesystem::perms::owner_exec, std::filesystem::perms::none);
}
