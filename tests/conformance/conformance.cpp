#include "tests/conformance/conformance.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "core/trace/block.h"

namespace vmxscope::test {

using namespace core;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Conformance);

std::unique_ptr<Target> Conformance::at_first_stop() {
    auto target = attach_();
    if (!target) {
        ADD_FAILURE() << target.error().text();
        return nullptr;
    }
    if (stop_of(**target).why == Stop::Why::GuestGone) return nullptr;
    return std::move(*target);
}

Stop Conformance::stop_of(Target& target) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(5);
    while (std::chrono::steady_clock::now() < end) {
        const auto stop = target.wait(std::chrono::milliseconds(200));
        if (!stop) {
            ADD_FAILURE() << stop.error().text();
            return {Stop::Why::GuestGone, 0, 0, {}};
        }
        if (*stop) return **stop;
    }
    ADD_FAILURE() << "no stop came";
    return {Stop::Why::GuestGone, 0, 0, {}};
}

Stop Conformance::step(Target& target, StepKind kind) {
    const auto resumed = target.resume({{std::nullopt, kind}});
    EXPECT_TRUE(resumed) << (resumed ? "" : resumed.error().text());
    return resumed ? stop_of(target) : Stop{Stop::Why::GuestGone, 0, 0, {}};
}

Stop Conformance::step(Target& target) {
    return step(target, target.can(Ability::Transitions) ? StepKind::Transition : StepKind::Instruction);
}

namespace {

/// A refusal has a sentence; what it refused must be usable as before.
template <typename T>
void expect_refused(const Result<T>& result, std::string_view what) {
    ASSERT_FALSE(result) << what << " is not among its abilities, and is done";
    EXPECT_GT(result.error().what.size(), 10u) << what;
    EXPECT_TRUE(result.error().what.ends_with('.')) << result.error().what;
}

template <typename T>
void expect_done(const Result<T>& result, std::string_view what) {
    EXPECT_TRUE(result) << what << ": " << (result ? "" : result.error().text());
}

/// Where the vCPU of the stop is: a linear address that can be read if any can.
std::uint64_t code_address(Target& target, const Stop& stop) {
    if (target.can(Ability::Transitions)) {
        const auto t = target.transition(stop.seq);
        return t && t->regs[nested::RIP].known() ? t->regs[nested::RIP].bits : 0;
    }
    const auto registers = target.registers(stop.vcpu);
    if (!registers) return 0;
    const auto rip = std::ranges::find(*registers, "rip", &RegisterBytes::name);
    std::uint64_t value = 0;
    if (rip != registers->end())
        for (std::size_t i = 0; i < std::min<std::size_t>(rip->bytes.size(), 8); ++i)
            value |= static_cast<std::uint64_t>(rip->bytes[i]) << (8 * i);
    return value;
}

Space code_space(Target& target, const Stop& stop) {
    const auto vcpus = target.vcpus();
    const auto own = vcpus ? std::ranges::find(*vcpus, stop.vcpu, &Vcpu::id) : std::vector<Vcpu>::const_iterator{};
    return vcpus && own != vcpus->end() && own->level == 2 ? Space::L2Linear : Space::L1Linear;
}

}  // namespace

TEST_P(Conformance, SaysWhatItIs) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    EXPECT_FALSE(target->info().name.empty());
    EXPECT_TRUE(target->can(Ability::Transitions) != target->can(Ability::Instructions)) << "one or the other";
    EXPECT_TRUE(target->abilities().within(GetParam().claimed)) << "its plugin does not claim all of them";
    const auto vcpus = target->vcpus();
    ASSERT_TRUE(vcpus) << vcpus.error().text();
    ASSERT_FALSE(vcpus->empty());
    std::set<std::uint32_t> ids;
    for (const Vcpu& v : *vcpus) EXPECT_TRUE(ids.insert(v.id).second) << "vCPU " << v.id << " twice";
}

TEST_P(Conformance, StepsToWhatItWasAskedFor) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    if (!target->can(Ability::Transitions)) {
        for (int i = 0; i < 5; ++i) EXPECT_EQ(step(*target, StepKind::Instruction).why, Stop::Why::Instruction);
        for (const StepKind kind : kTransitionSteps) expect_refused(target->resume({{std::nullopt, kind}}), name_of(kind));
        return;
    }
    std::uint64_t last = 0;
    for (const StepKind kind : kTransitionSteps)
        for (int i = 0; i < 3; ++i) {
            const Stop stop = step(*target, kind);
            if (stop.why == Stop::Why::End) return;
            ASSERT_EQ(stop.why, Stop::Why::Transition) << name_of(kind);
            const auto t = target->transition(stop.seq);
            ASSERT_TRUE(t) << t.error().text();
            EXPECT_EQ(t->seq, stop.seq);
            EXPECT_EQ(t->vcpu, stop.vcpu);
            EXPECT_TRUE(matches(kind, t->kind)) << name_of(kind) << " came to " << nested::name_of(t->kind);
            EXPECT_GT(stop.seq, last) << "it went back";
            last = stop.seq;
        }
    expect_refused(target->resume({{std::nullopt, StepKind::Instruction}}), "a step by an instruction");
    EXPECT_NE(step(*target).why, Stop::Why::GuestGone) << "after what it refused";
}

TEST_P(Conformance, ItsHistoryIsOfWhatWasSeen) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    Stop stop;
    for (int i = 0; i < 5; ++i) stop = step(*target);
    const auto history = target->history();
    ASSERT_TRUE(history) << history.error().text();
    EXPECT_LE(history->first, history->last);
    expect_refused(target->transition(history->last + 1'000'000), "a transition that there is not");
    if (!target->can(Ability::Transitions)) {
        EXPECT_EQ(history->last, 0u);
        return;
    }
    EXPECT_LE(history->first, stop.seq);
    EXPECT_GE(history->last, stop.seq);
    const auto past = target->past(history->first);
    ASSERT_TRUE(past) << past.error().text();
    const auto block = trace::BlockReader::open(*past);
    ASSERT_TRUE(block) << block.error().text();
    const auto vcpus = target->vcpus();
    ASSERT_TRUE(vcpus);
    const auto own = std::ranges::find(*vcpus, stop.vcpu, &Vcpu::id);
    ASSERT_NE(own, vcpus->end());
    EXPECT_EQ(own->last_seq, stop.seq);
}

TEST_P(Conformance, ARunEndsWhenItIsInterrupted) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    step(*target);
    expect_done(target->resume({{}}), "to run");
    expect_done(target->interrupt(), "to interrupt");
    const Stop stop = stop_of(*target);
    EXPECT_TRUE(stop.why == Stop::Why::Interrupted || stop.why == Stop::Why::End || stop.why == Stop::Why::Instruction);
}

TEST_P(Conformance, CanBeLeftAndAttachedToAgain) {
    for (int i = 0; i < 2; ++i) {
        const auto target = at_first_stop();
        ASSERT_TRUE(target);
        step(*target);
        expect_done(target->detach(), "to detach");
    }
}

TEST_P(Conformance, GoesBackOrSaysThatItCannot) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    Stop here;
    for (int i = 0; i < 4; ++i) here = step(*target);
    const auto kind = target->can(Ability::Transitions) ? StepKind::Transition : StepKind::Instruction;
    const auto back = target->resume_back(kind, std::nullopt);
    if (!target->can(Ability::Back)) return expect_refused(back, "back");
    ASSERT_TRUE(back) << back.error().text();
    const Stop there = stop_of(*target);
    if (target->can(Ability::Transitions)) {
        EXPECT_LT(there.seq, here.seq);
    }
}

TEST_P(Conformance, ReadsMemoryOrSaysThatItCannot) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    const Stop stop = step(*target);
    const Space space = code_space(*target, stop);
    const auto bytes = target->read_memory(stop.vcpu, space, code_address(*target, stop), 4);
    if (!target->can(Ability::Memory)) return expect_refused(bytes, "memory");
    ASSERT_TRUE(bytes) << bytes.error().text();
    EXPECT_EQ(bytes->size(), 4u);
    expect_refused(target->read_memory(stop.vcpu, space, 0, kMostMemory + 1), "more memory than may be asked for");
    expect_refused(target->read_memory(9999, space, 0, 4), "memory of a vCPU that there is not");
}

TEST_P(Conformance, WritesOrSaysThatItMayNot) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    const Stop stop = step(*target);
    const Space space = code_space(*target, stop);
    const std::uint64_t at = code_address(*target, stop);
    if (!target->can(Ability::Write)) {
        expect_refused(target->write_memory(stop.vcpu, space, at, {std::byte{0}}), "writing memory");
        expect_refused(target->write_field(stop.vcpu, WrittenVmcs::Vmcs02, vmx::Field::GUEST_CR3, 0), "writing a field");
        const auto ledger = target->ledger();
        ASSERT_TRUE(ledger) << ledger.error().text();
        EXPECT_TRUE(ledger->empty());
        return;
    }
    const auto as_it_is = target->read_memory(stop.vcpu, space, at, 2);
    ASSERT_TRUE(as_it_is) << as_it_is.error().text();
    expect_done(target->write_memory(stop.vcpu, space, at, *as_it_is), "writing what is there");
    const auto ledger = target->ledger();
    ASSERT_TRUE(ledger) << ledger.error().text();
    ASSERT_EQ(ledger->size(), 1u);
    EXPECT_EQ(ledger->front().after, *as_it_is);
}

TEST_P(Conformance, HasRegistersOrTheyAreInItsTransitions) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    const Stop stop = step(*target);
    const auto registers = target->registers(stop.vcpu);
    if (!target->can(Ability::Instructions)) return expect_refused(registers, "registers");
    ASSERT_TRUE(registers) << registers.error().text();
    EXPECT_NE(code_address(*target, stop), 0u);
}

TEST_P(Conformance, HasBreakpointsNonStopAndCapabilitiesOrSaysThatItHasNot) {
    const auto target = at_first_stop();
    ASSERT_TRUE(target);
    step(*target);
    const auto inserted = target->insert_breakpoint(0x12345678);
    if (target->can(Ability::Breakpoints)) {
        expect_done(inserted, "a breakpoint");
        expect_done(target->remove_breakpoint(0x12345678), "without it again");
    } else {
        expect_refused(inserted, "a breakpoint");
    }
    const auto capabilities = target->capabilities();
    if (target->can(Ability::Capabilities))
        expect_done(capabilities, "capabilities");
    else
        expect_refused(capabilities, "capabilities");
    const auto non_stop = target->set_non_stop(true);
    if (target->can(Ability::NonStop)) {
        expect_done(non_stop, "non-stop");
        expect_done(target->set_non_stop(false), "all-stop");
    } else {
        expect_refused(non_stop, "non-stop");
    }
    EXPECT_NE(step(*target).why, Stop::Why::GuestGone) << "after all of that";
}

}  // namespace vmxscope::test
