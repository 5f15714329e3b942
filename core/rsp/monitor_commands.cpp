// The table of the `monitor` commands: what each is called, what it takes, and what `monitor help` says of it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "core/rsp/monitor.h"
#include "core/rsp/packet.h"

namespace vmxscope::core::rsp {

namespace {

using Verb = MonitorCommand::Verb;

constexpr nested::EvidenceScope kScopes[] = {nested::EvidenceScope::None, nested::EvidenceScope::Pdptrs,
                                             nested::EvidenceScope::All};
constexpr Space kSpaces[] = {Space::L2Linear, Space::L2Physical, Space::L1Linear, Space::L1Physical};
constexpr std::string_view kDefaultSpace = "default";
constexpr std::size_t kMaxRegex = 200;

// What follows a command's name, read into `command`.

Result<void> nothing(std::string_view rest, MonitorCommand&) {
    if (rest.empty()) return {};
    return fail(fmt::format("This command takes nothing after it, and '{}' came.", rest));
}

Result<void> topic(std::string_view rest, MonitorCommand& command) {
    command.text = rest;
    return {};
}

Result<void> regex(std::string_view rest, MonitorCommand& command) {
    // Deeply nested expressions overflow the stack of std::regex.
    if (rest.size() > kMaxRegex)
        return fail(fmt::format("A regular expression of more than {} characters is not looked for.", kMaxRegex));
    command.text = rest;
    return {};
}

Result<void> step_kind(std::string_view rest, MonitorCommand& command) {
    const auto kind = step_kind_by_name(rest.empty() ? name_of(StepKind::Transition) : rest);
    if (!kind || *kind == StepKind::Instruction)
        return fail(fmt::format("There is no step '{}'.", rest), fmt::format("The steps are: {}.", step_kinds()));
    command.kind = *kind;
    return {};
}

Result<void> evidence_scope(std::string_view rest, MonitorCommand& command) {
    const auto scope = nested::evidence_scope_by_name(rest);
    if (!scope)
        return fail(fmt::format("There is no evidence '{}'.", rest), fmt::format("There is: {}.", evidence_scopes()));
    command.scope = *scope;
    return {};
}

Result<void> space(std::string_view rest, MonitorCommand& command) {
    if (rest == kDefaultSpace) return {};
    command.space = space_by_name(rest);
    if (command.space) return {};
    std::vector<std::string_view> names;
    for (const Space s : kSpaces) names.push_back(name_of(s));
    return fail(fmt::format("There is no space '{}'.", rest),
                fmt::format("There is: {}, {}.", fmt::join(names, ", "), kDefaultSpace));
}

Result<void> condition(std::string_view rest, MonitorCommand& command) {
    const bool condition = take_until(rest, ' ') == "if" && rest.find_first_not_of(' ') != std::string_view::npos;
    if (!condition)
        return fail("A break wants a condition.", "For instance: monitor break if exit_reason == EPT_VIOLATION.");
    command.text = rest;
    return {};
}

Result<void> number(std::string_view rest, MonitorCommand& command) {
    const auto number = parse_decimal(rest);
    if (!number) return fail(fmt::format("This command wants a number, and '{}' came.", rest));
    command.number = *number;
    return {};
}

struct Entry {
    Verb verb;
    std::string_view name, arguments;
    std::string_view line;  // of `monitor help`
    std::string_view text;  // of `monitor help NAME`, after that line
    Result<void> (*take)(std::string_view rest, MonitorCommand& command);
};

constexpr Entry kCommands[] = {
    {Verb::Help, "help", "[COMMAND]", "what there is, or what one command does", "", topic},
    {Verb::Info, "info", "", "the guest, its vCPUs, and what could not be probed",
     "For each vCPU: whether it is held, which level it runs, and the transition that it is at. Then what is kept of them,\n"
     "and the file that this session is recorded into.\n",
     nothing},
    {Verb::Pdptr, "pdptr", "", "what KVM did with the PDPTRs at this transition, and why",
     "The verdict (copied, skipped, undefined, …), the conditions in KVM's code that led to it, the four PDPTRs of "
     "vmcs12 and\n"
     "vmcs02 and in KVM's cache, and the VMREADs and VMWRITEs that were seen.\n",
     nothing},
    {Verb::Fields, "fields", "REGEX", "the fields whose name matches, in vmcs12 and vmcs02",
     "Letters match in either case, anywhere in the name; without REGEX all are shown. One field as a value of gdb's "
     "is\n"
     "$vmcs12_guest_cr3 or $vmcs12.guest_cr3, one bit $vmcs12_bits.guest_cr0.PG.\n",
     regex},
    {Verb::Stepi, "stepi", "[KIND]", "what gdb's stepi means from now on",
     "KIND is transition (of any kind; as after attaching), nested, entry or exit: stepi then runs to the next "
     "transition of\n"
     "this kind, and reverse-stepi, in a recording, to the one before.\n",
     step_kind},
    {Verb::Step, "step", "[KIND]", "one such step now (gdb does not notice; prefer stepi)",
     "The selected vCPU runs to its next transition of KIND. gdb goes on to show what it knew before, until\n"
     "maintenance flush register-cache.\n",
     step_kind},
    {Verb::Back, "back", "[KIND]", "one step back now (gdb does not notice; prefer reverse-stepi)",
     "Through what was seen of the guest, which stays where it is. In the past memory is not read, and nothing written.\n",
     step_kind},
    {Verb::Goto, "goto", "NUMBER", "to the transition of that number, among those that are kept",
     "Forth or back, as step and back do. info tells which are kept.\n", number},
    {Verb::Break, "break", "if CONDITION", "continue stops at the next transition that this holds for",
     "CONDITION is one of the query language's: exit_reason == EPT_VIOLATION && vmcs12.GUEST_CR3 == 0x1000. "
     "reverse-continue\n"
     "stops at the one before. stepi passes it by.\n",
     condition},
    {Verb::Breaks, "breaks", "", "those that are set, with their numbers, and how often they were hit", "", nothing},
    {Verb::Delete, "delete", "NUMBER", "removes a break", "", number},
    {Verb::Ledger, "ledger", "", "what was written into the guest",
     "Each write with its number, the transition that it stood at, what was there and what is there now.\n", nothing},
    {Verb::Evidence, "evidence", "SCOPE", "which of KVM's VMREADs and VMWRITEs are watched from now on",
     "SCOPE is none, pdptr (as after attaching), or all. All of them slow the guest down.\n", evidence_scope},
    {Verb::Space, "space", "SPACE", "whose memory is read: x, find, disassemble",
     "SPACE is l2-linear, l2-phys, l1-linear or l1-phys; linear addresses are translated by that level's CR3 at the "
     "stop.\n"
     "With default it is the linear one of the level that runs. QEMU's packet for physical memory works too:\n"
     "maintenance packet Qqemu.PhyMemMode:1. gdb keeps what it has read of code and stack: maintenance flush dcache.\n",
     space},
};

constexpr std::string_view kEnd =
    "\n"
    "One field as a value of gdb's: p/x $vmcs12.guest_cr3, p $vmcs02.guest_cr0, p $vmcs02_bits.guest_cr0.PG. Where not "
    "all of\n"
    "a VMCS is known, its fields are there one by one: p/x $vmcs12_guest_cr3.\n"
    "A rip of 0x8000000000000000 means that nobody has read it yet.\n"
    "info threads lists the vCPUs; thread N chooses whose transition all of this is about.\n";

std::string_view trimmed(std::string_view s) {
    constexpr std::string_view blanks = " \t\r\n";
    const std::size_t first = s.find_first_not_of(blanks);
    return first == std::string_view::npos ? std::string_view{}
                                           : s.substr(first, s.find_last_not_of(blanks) - first + 1);
}

std::string usage(const Entry& e) {
    return fmt::format("monitor {}{}{}", e.name, e.arguments.empty() ? "" : " ", e.arguments);
}

Result<const Entry*> find(std::string_view name) {
    const auto at =
        std::find_if(std::begin(kCommands), std::end(kCommands), [&](const Entry& e) { return e.name == name; });
    if (at == std::end(kCommands))
        return fail(fmt::format("There is no command 'monitor {}'.", name), "See: monitor help.");
    return &*at;
}

}  // namespace

std::string step_kinds() {
    std::vector<std::string_view> names;
    for (StepKind k : kTransitionSteps) names.push_back(name_of(k));
    return fmt::format("{}", fmt::join(names, ", "));
}

std::string evidence_scopes() {
    std::vector<std::string_view> names;
    for (nested::EvidenceScope s : kScopes) names.push_back(nested::name_of(s));
    return fmt::format("{}", fmt::join(names, ", "));
}

Result<std::string> help_text(std::string_view command) {
    if (!command.empty())
        return find(command).map(
            [](const Entry* e) { return fmt::format("{}: {}.\n{}", usage(*e), e->line, e->text); });
    std::size_t widest = 0;
    for (const Entry& e : kCommands) widest = std::max(widest, usage(e).size());
    std::string text;
    for (const Entry& e : kCommands) text += fmt::format("{:<{}}  {}\n", usage(e), widest, e.line);
    return text + std::string(kEnd);
}

Result<MonitorCommand> parse_monitor(std::string_view text) {
    std::string_view rest = trimmed(text);
    const std::string_view word = take_until(rest, ' ');
    const auto entry = find(word);
    if (!entry) return tl::unexpected(entry.error());
    MonitorCommand command;
    command.verb = (*entry)->verb;
    if (auto taken = (*entry)->take(trimmed(rest), command); !taken) return tl::unexpected(taken.error());
    return command;
}

}  // namespace vmxscope::core::rsp
