// The lab's broken-entries breaks one rule of VM-entry after another. KVM and the processor, asked through the agent,
// refuse each entry, and check_entry(), which sees no more than vmcs12 and the capabilities that KVM gives L1, names
// the rule that was broken and the answer that came.
//
// VMXSCOPE_REFUSED_TABLE=FILE: leaves there what was seen, for scripts/refused-entries, which makes the table of
// docs/refused-entries.md from it.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "vmx/entry_check.h"
#include "walk.h"

using namespace vmxscope;
using e2e::Walk;
using nested::Kind;
using vmx::Answer;
using vmx::Field;

namespace {

/// One VMLAUNCH or VMRESUME of L1's, up to what it came to.
struct Attempt {
    std::string name;                         // what L1 says it breaks; "good", "good.…": nothing
    nested::Transition entry;                 // nested-entry or nested-entry-failed
    std::optional<nested::Transition> exit;   // after a nested-entry
    std::vector<vmx::MsrEntry> msrs_to_load;  // from L1's memory
};

/// What came: who refused, and how L1 was told.
struct Response {
    enum class By { Nobody, Kvm, Processor } by = By::Nobody;
    std::string answer;  // "VMfail 7", "exit 33, qualification 0", "entered"
};

/// broken-entries keeps the case's name in R8 to R15, as text.
std::string name_in_registers(const nested::Transition& t) {
    std::string name;
    for (int r = nested::R8; r <= nested::R15; ++r) {
        EXPECT_TRUE(t.regs[r].known()) << core::headline(t);
        for (unsigned shift = 0; shift < 64; shift += 8) {
            const char c = static_cast<char>(t.regs[r].bits >> shift);
            if (!c) return name;
            name += c;
        }
    }
    return name;
}

/// vmcs12 as KVM checked it. When VMLAUNCH begins, what L1 wrote to the shadow VMCS is not in it yet; a refusal then
/// changes none but exit information.
const vmx::VmcsImage& as_checked(const nested::Transition& entry) {
    return entry.kind == Kind::NestedEntryFailed ? entry.vmcs12_after : entry.vmcs12_before;
}

std::vector<vmx::MsrEntry> msrs_to_load(core::Target& target, const nested::Transition& entry) {
    const vmx::Value& count = as_checked(entry)[Field::VM_ENTRY_MSR_LOAD_COUNT];
    const vmx::Value& address = as_checked(entry)[Field::VM_ENTRY_MSR_LOAD_ADDR];
    if (!count.known() || !address.known() || !count.bits || count.bits > 16) return {};
    std::vector<vmx::MsrEntry> msrs(count.bits);
    static_assert(sizeof(vmx::MsrEntry) == 16);  // as in memory
    const auto bytes = target.read_memory(entry.vcpu, core::Space::L1Physical, address.bits, 16 * msrs.size());
    EXPECT_TRUE(bytes) << (bytes ? "" : bytes.error().text());
    if (!bytes || bytes->size() != 16 * msrs.size()) return {};
    std::memcpy(msrs.data(), bytes->data(), bytes->size());
    return msrs;
}

Attempt next_attempt(Walk& walk) {
    const auto next = [&walk] { return walk.at(walk.go({{std::nullopt, core::StepKind::Nested}}).seq); };
    Attempt a{.name = {}, .entry = next(), .exit = {}, .msrs_to_load = {}};
    EXPECT_NE(a.entry.kind, Kind::NestedExit) << core::headline(a.entry);
    a.name = name_in_registers(a.entry);
    a.msrs_to_load = msrs_to_load(walk.target(), a.entry);
    if (a.entry.kind == Kind::NestedEntry) {
        a.exit = next();
        EXPECT_EQ(a.exit->kind, Kind::NestedExit) << core::headline(*a.exit);
    }
    return a;
}

std::vector<Attempt> first_round(Walk& walk) {
    std::vector<Attempt> all;
    do all.push_back(next_attempt(walk));
    while (all.back().name != "good.end-of-round" && all.size() < 1000);
    EXPECT_EQ(all.back().name, "good.end-of-round");
    return all;
}

std::string vmfail(const vmx::VmcsImage& vmcs12) {
    return fmt::format("VMfail {}", vmcs12[Field::VM_INSTRUCTION_ERROR].bits);
}
std::string failed_entry(std::uint64_t reason, std::uint64_t qualification) {
    return fmt::format("exit {}, qualification {}", reason & 0xffff, qualification);
}
std::string failed_entry(const nested::ExitInfo& exit) {
    return failed_entry(exit.reason.bits, exit.qualification.bits);
}
bool refused(const nested::ExitInfo& exit) {
    return exit.reason.known() && exit.reason.bits >> 31 & 1;
}

Response response_of(const Attempt& a) {
    using enum Response::By;
    if (a.entry.kind == Kind::NestedEntryFailed)
        return {Kvm, refused(a.entry.exit) ? failed_entry(a.entry.exit) : vmfail(a.entry.vmcs12_after)};
    if (a.exit->context.vmx_fail.value_or(false)) return {Processor, vmfail(a.exit->vmcs12_after)};
    if (refused(a.exit->exit)) return {Processor, failed_entry(a.exit->exit)};
    return {Nobody, "entered"};
}

std::string expected_answer(const vmx::EntryRule& rule, const vmx::EntryCheck& check) {
    switch (rule.answer) {
        case Answer::VmFailInvalid: return "VMfail 0";
        case Answer::VmFailControls: return "VMfail 7";
        case Answer::VmFailHost: return "VMfail 8";
        case Answer::InvalidGuestState: return failed_entry(33, rule.qualification);
        case Answer::MsrLoading: return failed_entry(34, check.msr_entry);
    }
    return "?";
}

vmx::EntryCheck check(const Attempt& a, const vmx::Capabilities& l1) {
    const vmx::MsrArea area{.entries = a.msrs_to_load, .x2apic_mode = true};  // broken-entries sees to that
    return vmx::check_entry(as_checked(a.entry), l1, a.msrs_to_load.empty() ? nullptr : &area);
}

/// Rules about what vmcs12 and the capabilities do not tell: L1's own mode, and memory that fields point to.
const std::map<std::string, std::string> kOutsideOfVmcs12 = {
    {"control.tpr-threshold.above-vtpr", "27.2.1.1"},
    {"host.address-space-size", "27.2.4"},
    {"guest.link-pointer.revision", "27.3.1.5"},
    {"guest.link-pointer.current", "27.3.1.5"},
    {"guest.pdpte.in-memory", "27.3.1.6"},
};

/// Rules that neither KVM nor Debian's Bochs checks (docs/refused-entries.md says why).
const std::set<std::string> kNotChecked = {
    "guest.rip.upper",         "guest.interruptibility.virtual-nmi", "guest.pending-debug.bs-clear",
    "guest.activity.blocking", "guest.pending-debug.bs-set",         "guest.link-pointer.current",
};

/// What Debian's Bochs answers with another qualification than the SDM's.
const std::map<std::string, std::string> kOtherAnswer = {
    {"guest.interruptibility.nmi-sti", "exit 33, qualification 0"},  // SDM: 3
};

/// Refused by KVM without its tracepoint kvm_nested_vmenter_failed.
const std::set<std::string> kWithoutWords = {"control.save-preemption-timer.needs-timer", "msr.pat"};

std::string table_row(const Attempt& a, const Response& r, std::string_view section) {
    const char* by = r.by == Response::By::Kvm ? "KVM" : r.by == Response::By::Processor ? "processor" : "nobody";
    return fmt::format("{}\t{}\t{}\t{}\t{}\n", a.name, section, r.answer, by, a.entry.kvm_reason);
}

/// The broken rule is the first that check_entry() finds, and the answer the one that came. Returns its section.
std::string_view expect_named(const Attempt& a, const Response& r, const vmx::EntryCheck& found) {
    const auto first = found.first();
    if (const auto outside = kOutsideOfVmcs12.find(a.name); outside != kOutsideOfVmcs12.end()) {
        EXPECT_FALSE(first) << a.name << ": " << vmx::entry_rules()[*first].id;
        return outside->second;
    }
    EXPECT_TRUE(first) << a.name << ": no rule fails";
    if (!first) return "?";
    const vmx::EntryRule& rule = vmx::entry_rules()[*first];
    EXPECT_EQ(rule.id, a.name);
    const auto other = kOtherAnswer.find(a.name);
    const std::string expected = other == kOtherAnswer.end() ? expected_answer(rule, found) : other->second;
    if (r.by != Response::By::Nobody) {
        EXPECT_EQ(expected, r.answer) << a.name;
    }
    return rule.section;
}

}  // namespace

TEST(Refused, every_broken_rule_is_named_with_its_answer) {
    Walk walk(lab::running_lab("broken-entries"));
    const auto capabilities = walk.target().capabilities();
    ASSERT_TRUE(capabilities) << capabilities.error().text();
    const auto round = first_round(walk);

    std::set<std::string> named, not_checked;
    std::size_t good = 0, by_processor = 0;
    std::string table;
    for (const Attempt& a : round) {
        const vmx::EntryCheck found = check(a, capabilities->l1);
        const Response r = response_of(a);
        if (a.name.starts_with("good")) {
            EXPECT_EQ(r.by, Response::By::Nobody) << a.name << ": " << r.answer << " " << a.entry.kvm_reason;
            EXPECT_EQ(found.failed(), 0u)
                << a.name << ": " << (found.first() ? vmx::entry_rules()[*found.first()].id : "");
            ++good;
            continue;
        }
        table += table_row(a, r, expect_named(a, r, found));
        if (r.by == Response::By::Nobody)
            not_checked.insert(a.name);
        else
            named.insert(a.name);
        by_processor += r.by == Response::By::Processor;
        if (r.by == Response::By::Kvm) {
            EXPECT_EQ(a.entry.kvm_reason.empty(), kWithoutWords.count(a.name) == 1) << a.name << a.entry.kvm_reason;
        }
    }
    EXPECT_GE(named.size(), 100u);
    EXPECT_GE(by_processor, 20u);
    EXPECT_GE(good, 20u);
    EXPECT_EQ(not_checked, kNotChecked);
    if (const char* file = std::getenv("VMXSCOPE_REFUSED_TABLE")) std::ofstream(file) << table;
}
