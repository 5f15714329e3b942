// For tests that need a lab that really runs. One lab of a name serves a whole test program: it is started when first
// asked for and ends with the program, however that ends. CTest must run such a program as one entry
// (add_test(NAME … COMMAND …), not gtest_discover_tests(), which would start a lab for each test); link vmxscope_lab
// and add_dependencies(… vmxscope-lab-supervisor vmxscope-agent guests).
//
//     TEST(Agent, is_root_in_the_lab) { EXPECT_EQ(sh(running_lab("pae-ept"), "id -u"), "0\n"); }
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "plugins/lab/lab.h"

namespace vmxscope::lab {

/// Tells each step once on stderr, so that a log shows what a test waits for.
inline core::Progress told_on_stderr() {
    return [last = std::string()](std::string_view step, double) mutable {
        if (step != last) std::fprintf(stderr, "%.*s\n", static_cast<int>(step.size()), step.data());
        last = step;
        return true;
    };
}

/// The program's lab of that name; the program ends here if it cannot be started.
inline Lab& running_lab(const std::string& name) {
    static std::map<std::string, Lab> labs;
    auto found = labs.find(name);
    if (found == labs.end()) {
        StartOptions options;
        options.name = name;
        auto started = Lab::start(options, told_on_stderr());
        if (!started) {
            std::fprintf(stderr, "%s\n", started.error().text().c_str());
            std::exit(1);
        }
        found = labs.emplace(name, std::move(*started)).first;
    }
    return found->second;
}

/// What a shell command prints in the lab; it must end with status 0.
inline std::string sh(const Lab& lab, const std::string& command) {
    const auto result = lab.run(command);
    EXPECT_TRUE(result) << (result ? "" : result.error().text());
    if (!result) return {};
    EXPECT_EQ(result->status, 0) << command << "\n" << result->output;
    return result->output;
}

}  // namespace vmxscope::lab
