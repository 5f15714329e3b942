// What every back end's targets must do, with the abilities that they claim: one suite, for whoever has a target.
//
//     INSTANTIATE_TEST_SUITE_P(Mine, Conformance, testing::Values(Subject{"mine", kPlugin.abilities, make_subject}), name_of_subject);
//
// and link vmxscope_conformance. A lab is a subject, too (tests/e2e).
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "core/target.h"

namespace vmxscope::test {

/// Attaches, each time anew; what it captures (a server, a QEMU) lives as long as it.
using Attach = std::function<core::Result<std::unique_ptr<core::Target>>()>;

struct Subject {
    std::string name;              // letters, digits, underscores
    core::Abilities claimed;       // by its plugin: what its targets may have
    std::function<Attach()> make;  // what it needs is started here
};
inline void PrintTo(const Subject& s, std::ostream* out) {
    *out << s.name;
}
inline std::string name_of_subject(const testing::TestParamInfo<Subject>& info) {
    return info.param.name;
}

class Conformance : public testing::TestWithParam<Subject> {
  protected:
    void SetUp() override { attach_ = GetParam().make(); }
    /// Attached, and at its first stop; null, with a failure, if it does not come to that.
    std::unique_ptr<core::Target> at_first_stop();
    /// The next stop; a failure, and GuestGone, if none comes in some minutes.
    static core::Stop stop_of(core::Target& target);
    /// One step of any vCPU to a stop: by instructions where there are no transitions.
    static core::Stop step(core::Target& target, core::StepKind kind);
    static core::Stop step(core::Target& target);

    Attach attach_;
};

}  // namespace vmxscope::test
