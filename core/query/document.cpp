#include "core/query/document.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/query/names.h"

namespace vmxscope::core::query {
namespace {

constexpr std::string_view kHead = R"(# The query language

A condition on a transition, for `vmxscopectl query` and wherever a condition is asked for. This file is written by
`vmxscopectl query --language`.

    exit_reason == EPT_VIOLATION && level == 2
    pdptr == undefined
    vmcs12.GUEST_CR3 != vmcs02.GUEST_CR3
    vmcs02.GUEST_PDPTR0.before != vmcs02.GUEST_PDPTR0
    changed(vmcs12.GUEST_CR4)
    kind == nested-entry && findings > 0
    time_in_l2 > 50us
    exit_reason in {CPUID, HLT} && wanted_by == L1
    seq in 100..200
    vmcs12.GUEST_CR0.PG && !vmcs02.GUEST_CR4.PAE

## Operators

From loose to tight; as in C, except that `&`, `^` and `|` bind more tightly than comparisons, so that `rip & 0xfff == 0` is what
it seems.

| operator | |
|---|---|
| `\|\|` `or` | |
| `&&` `and` | |
| `not` | |
| `==` `!=` `<` `<=` `>` `>=` `in` `=~` | they do not chain |
| `\|` | |
| `^` | |
| `&` | |
| `<<` `>>` | by 64 and more: 0 |
| `+` `-` | |
| `*` `/` `%` | |
| `!` `-` `~` | |

`in` takes a set, a range, or both: `in {CPUID, HLT}`, `in 100..200`, `in {1, 5..7}`; the ends belong to the range. `=~` matches
anywhere, in either case, a regular expression (ECMAScript's, without back-references; at most 200 characters).

## Values

- **Numbers** have 64 bits and no sign, as C's `uint64_t`: decimal, `0x`, `0b`, with `k` and `M` for 1,000 and 1,000,000. A number
  is a condition, too: it holds when it is not 0.
- **Times**: `ns`, `us`, `ms`, `s`, as in `1.5ms`. Times are added, divided by each other, multiplied by numbers, and compared
  with times only (and with 0). They come from the TSC; where its frequency is not known, they are unknown, and `cycles(…)`
  is not.
- **Words** are the names of kinds, exit reasons, verdicts, states and levels, and are compared with what has such a value. In
  either case; `_` does for `-`.
- **Texts** stand in quotes, "…" or '…'.

## What is not known

A value may be unknown: not read, not supported, or without meaning at this transition (the exit reason of an entry). Then what
is computed from it is unknown, unless it does not matter: `false && …` is false, `true || …` is true. What is unknown is no match,
and neither is its opposite. `known(…)` and `unknown(…)` ask for it.

## Fields

`vmcs12.FIELD`, `vmcs02.FIELD`, `vmcs01.FIELD`: the value after the transition, with `.before` the one before it (not of vmcs01, which is
read at nested-entry, l1-exit and l1-entry only). FIELD alone is of the VMCS that the processor runs on: vmcs01 at l1-exit and
l1-entry, vmcs02 otherwise. FIELD is a name of the SDM as KVM writes it, in either case; `GUEST_` may be left out. A bit or
sub-field follows: `vmcs12.GUEST_CR0.PG`, `vmcs12.SECONDARY_VM_EXEC_CONTROL.EPT`, `vmcs02.VM_ENTRY_INTR_INFO_FIELD.vector.before`.
What such a name has of blanks and signs is written `_`.

)";

constexpr std::string_view kTimes = R"(
Times are of one vCPU, between crossings that were both seen. After lost records or missing transitions they are unknown.

)";

constexpr std::string_view kSpeed = R"(
## Speed

A trace keeps a digest of each transition. Names marked * are in it, or follow from it: conditions on them alone are answered
without decoding anything. In other conditions these decide first, and only what they leave open is decoded.
)";

std::string_view type_text(const Name& n) {
    constexpr std::string_view types[] = {"truth", "number", "time", "word", "text"};
    return n.type == Type::Word ? name_of(n.vocabulary) : types[static_cast<std::size_t>(n.type)];
}

/// The registers and the context speak for themselves.
std::string lists() {
    std::string registers, context;
    for (const Name& n : all_names()) {
        if (!n.meaning.empty()) continue;
        std::string& list = n.name.starts_with("context.") ? context : registers;
        list += fmt::format("{}`{}`", list.empty() ? "" : ", ", n.name);
    }
    return fmt::format(
        "\nRegisters, of the level that leaves or is entered: {}.\n\nWhat KVM decided from, by KVM's names: {}.\n",
        registers, context);
}

std::string words() {
    std::string text = "\n## Words\n\n";
    for (const Vocabulary v :
         {Vocabulary::Kind, Vocabulary::Did, Vocabulary::Is, Vocabulary::Level, Vocabulary::ExitReason}) {
        std::string list;
        for (const Word& word : words_of(v)) list += fmt::format("{}`{}`", list.empty() ? "" : ", ", word.name);
        text += fmt::format("- {}: {}\n", name_of(v), list);
    }
    return text;
}

}  // namespace

std::string language_markdown() {
    std::string text(kHead);
    text += "## Names\n\n| name | is a | |\n|---|---|---|\n";
    for (const Name& n : all_names())
        if (!n.meaning.empty())
            text += fmt::format("| `{}`{} | {} | {} |\n", n.name, n.needs_whole() ? "" : " *", type_text(n), n.meaning);
    text += kTimes;
    text += "## Functions\n\n| function | |\n|---|---|\n";
    for (const Function& f : all_functions()) text += fmt::format("| `{}` | {} |\n", f.usage, f.meaning);
    return text + lists() + words() + std::string(kSpeed);
}

std::string language_text() {
    std::string text =
        "The language, from loose to tight:\n"
        "  || or   && and   not   == != < <= > >= in =~   |   ^   &   << >>   + -   * / %   ! - ~\n"
        "  in {A, B}, in 10..20; numbers 10k, 0x1f, 0b101; times 50us (ns us ms s); texts \"…\"; =~ \"regular "
        "expression\"\n"
        "  What is not known is no match, and neither is its opposite: known(…), unknown(…).\n"
        "\n"
        "Fields: vmcs12.GUEST_CR3, vmcs02.GUEST_CR3.before, vmcs12.GUEST_CR0.PG; GUEST_CR3 alone is of the VMCS that "
        "runs.\n"
        "\n"
        "Names (* is in the digests: quick):\n";
    for (const Name& n : all_names())
        if (!n.meaning.empty())
            text += fmt::format("  {:<20} {:<11} {}\n", fmt::format("{}{}", n.name, n.needs_whole() ? "" : " *"),
                                type_text(n), n.meaning);
    std::string rest = lists();
    std::erase(rest, '`');
    text += rest + "\nFunctions:\n";
    for (const Function& f : all_functions()) text += fmt::format("  {:<21} {}\n", f.usage, f.meaning);
    rest = words();
    std::erase(rest, '`');
    return text + rest.substr(rest.find('\n', 1) + 1);
}

}  // namespace vmxscope::core::query
