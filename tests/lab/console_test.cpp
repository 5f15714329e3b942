#include "plugins/lab/console.h"

#include <gtest/gtest.h>

#include "temporary_folder.h"

using namespace vmxscope::lab;
using Kind = ConsoleEvent::Kind;

namespace {

std::optional<Kind> kind_of(std::string_view line) {
    const auto event = parse_console_line(line);
    return event ? std::optional(event->kind) : std::nullopt;
}

}  // namespace

TEST(Console, each_kind_of_line_is_told_apart) {
    EXPECT_EQ(kind_of("vmxscope-lab: stage loading KVM\r"), Kind::Stage);
    EXPECT_EQ(parse_console_line("vmxscope-lab: stage loading KVM\r")->text, "loading KVM");
    EXPECT_EQ(kind_of("vmxscope-lab: waiting"), Kind::Waiting);
    EXPECT_EQ(kind_of("vmxscope-lab: ready\r"), Kind::Ready);
    EXPECT_EQ(parse_console_line("vmxscope-lab: error The lab's processor has no VT-x.")->text,
              "The lab's processor has no VT-x.");
    EXPECT_EQ(parse_console_line("vmxscope-lab: guest-ended 33")->text, "33");
    EXPECT_EQ(kind_of("[    0.003019] Linux version 6.1"), Kind::Kernel);
    EXPECT_EQ(kind_of("9845 blocks"), std::nullopt);
    EXPECT_EQ(kind_of("vmxscope-lab: readyish"), std::nullopt);
    EXPECT_EQ(kind_of(""), std::nullopt);
}

TEST(Console, bytes_of_a_restored_serial_line_before_the_text_do_not_hide_it) {
    EXPECT_EQ(kind_of(std::string("\0\0vmxscope-lab: ready", 21)), Kind::Ready);
}

TEST(Console, the_start_only_goes_forward) {
    double last = 0;
    for (const char* stage : {"Linux 6.1 is up", "loading KVM", "bringing up the network", "received x",
                              "starting QEMU, paused", "starting the agent"}) {
        const auto fraction = start_fraction({Kind::Stage, stage});
        ASSERT_TRUE(fraction) << stage;
        EXPECT_GT(*fraction, last) << stage;
        last = *fraction;
    }
    EXPECT_EQ(start_fraction({Kind::Ready, {}}), 1);
}

TEST(Console, a_growing_file_is_read_line_by_line_and_half_a_line_waits_for_its_rest) {
    TemporaryFolder folder;
    Console console(folder.path() / "console.log");
    EXPECT_TRUE(console.read().empty());  // not there yet
    folder.write("console.log", "vmxscope-lab: stage loading KVM\nvmxscope-lab: rea");
    auto events = console.read();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].text, "loading KVM");
    std::ofstream(folder.path() / "console.log", std::ios::app) << "dy\n";
    events = console.read();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].kind, Kind::Ready);
    EXPECT_TRUE(console.read().empty());
}

TEST(Console, the_tail_of_a_log_is_its_last_lines_without_control_characters) {
    TemporaryFolder folder;
    const auto file = folder.write("log",
                                   "one\n\x1b"
                                   "two\r\n\nthree\n");
    EXPECT_EQ(tail_of(file, 2), "\n  two\n  three");
    EXPECT_EQ(tail_of(folder.path() / "none", 2), "");
}
