// What is refused before anything is started.
#include <gtest/gtest.h>

#include "plugins/lab/backend.h"
#include "plugins/lab/lab.h"
#include "temporary_folder.h"

using namespace vmxscope;
using namespace vmxscope::lab;

namespace {

core::Error refused(const StartOptions& options) {
    const auto started = Lab::start(options, {});
    EXPECT_FALSE(started);
    return started ? core::Error{} : started.error();
}

}  // namespace

TEST(Start, an_unknown_name_is_answered_with_the_known_ones) {
    StartOptions options;
    options.name = "pea-ept";
    const core::Error error = refused(options);
    EXPECT_EQ(error.what, "No lab is called 'pea-ept'.");
    EXPECT_NE(error.remedy.find("pae-ept, pae-shadow, long-ept, legacy-ept, pae-toggle, pae-ept-smp, broken-entries"),
              std::string::npos);
}

TEST(Start, a_kernel_that_QEMU_cannot_load_is_refused) {
    TemporaryFolder folder;
    StartOptions options;
    options.kernel = folder.write("notes.txt", "not a kernel");
    EXPECT_NE(refused(options).what.find("neither a multiboot nor a PVH"), std::string::npos);
    options.kernel = folder.path() / "missing.elf";
    EXPECT_NE(refused(options).what.find("There is no file"), std::string::npos);
}

TEST(Start, more_processors_than_a_lab_can_have_are_refused) {
    StartOptions options;
    options.name = "pae-ept";
    options.cpus = 64;
    EXPECT_NE(refused(options).what.find("64 processors"), std::string::npos);
}

TEST(Start, the_target_of_an_unknown_lab_is_refused) {
    const auto target = lab_backend()->attach("pea-ept", {});
    ASSERT_FALSE(target);
    EXPECT_EQ(target.error().what, "No lab is called 'pea-ept'.");
}

TEST(Start, the_backend_lists_every_lab) {
    const auto names = lab_backend()->list();
    for (const char* name :
         {"lab:pae-ept", "lab:pae-shadow", "lab:long-ept", "lab:legacy-ept", "lab:pae-toggle", "lab:pae-ept-smp",
          "lab:broken-entries"})
        EXPECT_TRUE(std::any_of(names.begin(), names.end(), [&](auto& n) { return n.uri == name; })) << name;
}
