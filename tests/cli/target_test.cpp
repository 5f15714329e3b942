#include "core/target.h"

#include <gtest/gtest.h>

namespace vmxscope::core {
namespace {

using nested::Kind;

TEST(StepKind, NamesLeadBack) {
    for (const StepKind k : {StepKind::Transition, StepKind::Nested, StepKind::Entry, StepKind::Exit})
        EXPECT_EQ(step_kind_by_name(name_of(k)), k);
    EXPECT_FALSE(step_kind_by_name("leap"));
}

TEST(StepKind, ARefusedNestedEntryIsAnEntry) {
    EXPECT_TRUE(matches(StepKind::Entry, Kind::NestedEntryFailed));
    EXPECT_TRUE(matches(StepKind::Nested, Kind::NestedEntryFailed));
    EXPECT_FALSE(matches(StepKind::Exit, Kind::NestedEntryFailed));
}

TEST(StepKind, HardwareCrossingsAreOnlyTransitions) {
    for (const Kind k : {Kind::L1Exit, Kind::L1Entry, Kind::L2Exit, Kind::L2Entry}) {
        EXPECT_TRUE(matches(StepKind::Transition, k));
        EXPECT_FALSE(matches(StepKind::Nested, k) || matches(StepKind::Entry, k) || matches(StepKind::Exit, k));
    }
    EXPECT_TRUE(matches(StepKind::Exit, Kind::NestedExit) && matches(StepKind::Nested, Kind::NestedExit));
    EXPECT_FALSE(matches(StepKind::Entry, Kind::NestedExit));
}

/// Keeps what it was asked for, and refuses.
class Refusing : public Backend {
  public:
    explicit Refusing(std::string scheme) : scheme_(std::move(scheme)) {}
    std::string_view scheme() const override { return scheme_; }
    std::vector<TargetName> list() override { return {{scheme_ + ":one", "the only one", true, ""}}; }
    Result<std::unique_ptr<Target>> attach(std::string_view rest, const Progress&) override {
        return fail("rest=" + std::string(rest));
    }

  private:
    std::string scheme_;
};

std::string refusal(const Backends& all, std::string_view uri) {
    return all.attach(uri, {}).error().text();
}

TEST(Backends, TheSchemeChoosesAndTheRestIsHandedOn) {
    Backends all;
    all.add(std::make_unique<Refusing>("lab"));
    all.add(std::make_unique<Refusing>("kvm"));
    EXPECT_EQ(refusal(all, "lab:pae-ept"), "rest=pae-ept");
    EXPECT_EQ(refusal(all, "kvm"), "rest=");
    EXPECT_EQ(refusal(all, "kvm:"), "rest=");
    EXPECT_EQ(refusal(all, "lab:a:b"), "rest=a:b");
    EXPECT_EQ(all.list().size(), 2u);
}

TEST(Backends, AnUnknownSchemeNamesTheKnownOnes) {
    Backends all;
    all.add(std::make_unique<Refusing>("lab"));
    all.add(std::make_unique<Refusing>("kvm"));
    for (const char* uri : {"tap:1", "", ":", "labx:1", "LAB:1"}) {
        const std::string text = refusal(all, uri);
        EXPECT_NE(text.find("lab:, kvm:"), std::string::npos) << text;
    }
}

}  // namespace
}  // namespace vmxscope::core
