#include "query_samples.h"

#include <fmt/format.h>

#include "core/query/names.h"
#include "tests/nested/flow_samples.h"

namespace vmxscope::core::query::test {
namespace {

using nested::Kind;

template <std::size_t N>
std::string one_of(std::mt19937_64& random, const char* const (&texts)[N]) {
    return texts[random() % N];
}

/// What may stand beside an operator, and what it is compared with.
std::string number(std::mt19937_64& random, int depth) {
    static const char* const atoms[] = {"seq",
                                        "vcpu",
                                        "level",
                                        "lost",
                                        "findings",
                                        "rip",
                                        "qualification",
                                        "vmcs12.GUEST_CR3",
                                        "vmcs02.GUEST_CR0.before",
                                        "GUEST_CR4",
                                        "vmcs12.GUEST_CR0.PG",
                                        "context.efer",
                                        "cycles(round_trip)",
                                        "status",
                                        "tsc",
                                        "7",
                                        "0x80000031",
                                        "3k"};
    if (depth <= 0 || random() % 3 == 0) return one_of(random, atoms);
    static const char* const operators[] = {"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"};
    if (random() % 6 == 0) return "~(" + number(random, depth - 1) + ")";
    return fmt::format("({} {} {})", number(random, depth - 1), one_of(random, operators), number(random, depth - 1));
}

std::string word_condition(std::mt19937_64& random) {
    const Name* name = nullptr;
    while (!name || name->vocabulary == Vocabulary::None) name = &all_names()[random() % all_names().size()];
    const auto words = words_of(name->vocabulary);
    const auto word = [&] { return words[random() % words.size()].name; };
    switch (random() % 4) {
        case 0: return fmt::format("{} != {}", name->name, word());
        case 1: return fmt::format("{} in {{{}, {}}}", name->name, word(), word());
        case 2: return fmt::format("{} =~ \"{}\"", name->name, word().substr(0, 2));
        default: return fmt::format("{} == {}", name->name, word());
    }
}

}  // namespace

std::string random_condition(std::mt19937_64& random, int depth) {
    static const char* const comparisons[] = {"==", "!=", "<", "<=", ">", ">="};
    static const char* const times[] = {"time", "since_exit", "in_guest", "time_in_l2", "time_in_l1", "round_trip"};
    static const char* const atoms[] = {"pdptr == undefined",
                                        "pdptr != defined",
                                        "pdptr.alarm",
                                        "pdptr.used",
                                        "exit_failed",
                                        "context.pae",
                                        "written(EPT_POINTER)",
                                        "changed(vmcs12.GUEST_CR4)",
                                        "found(GUEST_CR3)",
                                        "has(\"tsc-composed\")",
                                        "kvm_reason =~ \"a\"",
                                        "known(exit_reason)",
                                        "unknown(vmcs02.GUEST_CR3)",
                                        "unknown(pdptr.did)",
                                        "seq in 3..9",
                                        "read(GUEST_PDPTR0)",
                                        "true",
                                        "known(round_trip)"};
    switch (depth <= 0 ? 3 + random() % 4 : random() % 7) {
        case 0:
            return fmt::format("({} && {})", random_condition(random, depth - 1), random_condition(random, depth - 1));
        case 1:
            return fmt::format("({} or {})", random_condition(random, depth - 1), random_condition(random, depth - 1));
        case 2: return fmt::format("{}({})", random() % 2 ? "!" : "unknown", random_condition(random, depth - 1));
        case 3: return fmt::format("{} {} {}", number(random, 2), one_of(random, comparisons), number(random, 2));
        case 4: return word_condition(random);
        case 5: return fmt::format("{} {} {}us", one_of(random, times), one_of(random, comparisons), random() % 20);
        default: return one_of(random, atoms);
    }
}

std::vector<nested::Transition> session(std::size_t count, unsigned seed) {
    constexpr Kind kRound[] = {Kind::L1Exit, Kind::NestedEntry,       Kind::L2Entry,
                               Kind::L2Exit, Kind::NestedExit,        Kind::L1Entry,
                               Kind::L1Exit, Kind::NestedEntryFailed, Kind::L1Entry};
    constexpr std::uint32_t kReasons[] = {10, 12, 18, 24, 48, 0x80000021, 400};
    std::mt19937_64 random(seed);
    const nested::Transition entry = nested::good_entry(), exit = nested::good_exit();
    std::vector<nested::Transition> all;
    std::uint64_t tsc = 1'000'000;
    for (std::size_t i = 0; i < count; ++i) {
        const Kind kind = kRound[i % std::size(kRound)];
        nested::Transition t = kind == Kind::NestedExit ? exit : entry;
        t.seq = i + 1;
        t.vmcs02_as_of = random() % 4 ? t.seq : 0;
        t.tsc = tsc += random() % 30'000;
        t.vcpu = static_cast<std::uint32_t>(random() % 8 == 0);
        t.kind = kind;
        t.exit = {};
        if (kind == Kind::L1Exit || kind == Kind::L2Exit || kind == Kind::NestedExit)
            t.exit.reason = vmx::Value::of(kReasons[random() % std::size(kReasons)]);
        if (random() % 2) t.context.pae = random() % 2 == 0;
        if (random() % 4 == 0) t.context.dirty_vmcs12 = std::nullopt;
        if (random() % 3 == 0) nested::set(t.vmcs12_after, vmx::Field::GUEST_CR4, random() % 0x100);
        if (random() % 3 == 0) t.vmcs02_after[vmx::Field::GUEST_CR3] = {};
        if (random() % 20 == 0) t.lost_before = random() % 5;
        if (random() % 4 == 0) t.evidence.clear();
        t.regs[nested::RIP] = vmx::Value::of(0x1000 + random() % 0x100);
        all.push_back(std::move(t));
    }
    return all;
}

}  // namespace vmxscope::core::query::test
