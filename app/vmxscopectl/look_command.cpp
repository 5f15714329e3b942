#include "app/vmxscopectl/look_command.h"

#include <charconv>
#include <cstring>
#include <functional>
#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/stepper.h"
#include "vmx/controls.h"
#include "vmx/decode/bitmaps.h"
#include "vmx/paging.h"

namespace vmxscope::app {
namespace {

using core::Result;
using core::Space;
using vmx::Field;
using HardwareVmcs = core::Target::HardwareVmcs;

struct Options {
    std::string target, space, address;
    std::uint32_t size = 256, timeout = 120;
    std::optional<std::uint32_t> vcpu;
};

Result<std::uint64_t> parse_address(std::string_view text) {
    std::string_view digits = text.starts_with("0x") ? text.substr(2) : text;
    std::uint64_t address = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address, 16);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size())
        return core::fail(fmt::format("'{}' is no address.", text), "Addresses are hexadecimal: 0x802000.");
    return address;
}

/// "   802000  01 20 80 00 …  . ....": sixteen bytes a line.
std::string hex_dump(std::uint64_t address, const std::vector<std::byte>& bytes) {
    std::string text;
    for (std::size_t line = 0; line < bytes.size(); line += 16) {
        std::string hex, letters;
        for (std::size_t i = line; i < std::min(line + 16, bytes.size()); ++i) {
            const auto byte = static_cast<unsigned char>(bytes[i]);
            hex += fmt::format("{:02x} ", byte);
            letters += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.';
        }
        text += fmt::format("{:>16x}  {:<48} {}\n", address + line, hex, letters);
    }
    return text;
}

// ---- EPT12 beside EPT02

std::string step_lines(const std::vector<vmx::WalkStep>& steps) {
    std::string text;
    vmx::EntryRules rules;
    rules.format = vmx::EntryFormat::Ept;
    for (const vmx::WalkStep& s : steps)
        text += fmt::format("    {:<6} at {:#014x}  {:#018x}  {}\n", vmx::entry_name(s.level), s.address, s.entry,
                            vmx::describe_entry(s.level, s.entry, rules));
    return text;
}

std::string ept12_text(core::Target& target, const nested::Transition& t, std::uint64_t gpa) {
    const vmx::Value eptp = t.vmcs12_after[Field::EPT_POINTER];
    if (t.context.nested_ept != true || !eptp.known())
        return "  EPT12: L1 uses no EPT for L2: L2's physical addresses are L1's.\n";
    const auto caps = target.capabilities();
    const auto read = [&](std::uint64_t at) -> std::optional<std::uint64_t> {
        const auto bytes = target.read_memory(t.vcpu, Space::L1Physical, at, 8);
        if (!bytes) return std::nullopt;
        std::uint64_t value = 0;
        std::memcpy(&value, bytes->data(), sizeof value);
        return value;
    };
    const vmx::Walk walk = vmx::walk_ept(eptp.bits, gpa, caps ? caps->l1.maxphyaddr : 52u, read);
    const std::string end =
        walk.physical ? fmt::format("L1's physical address {:#x}", *walk.physical) : std::string(name_of(walk.fault));
    return fmt::format("  EPT12, L1's (EPT pointer {:#x}): {}\n", eptp.bits, end) + step_lines(walk.steps);
}

std::string ept02_text(core::Target& target, const nested::Transition& t, std::uint64_t gpa) {
    const auto steps = target.ept02_walk(t.vcpu, gpa);
    if (!steps) return fmt::format("  EPT02: {}\n", steps.error().text());
    return fmt::format("  EPT02, L0's (EPT pointer {:#x}):\n", t.vmcs02_after[Field::EPT_POINTER].bits) +
           step_lines(*steps);
}

// ---- Bitmaps

using Page = std::vector<std::byte>;

vmx::BitmapPage page_of(const Page& p) {
    return vmx::BitmapPage(p.data(), vmx::kBitmapPage);
}

std::string ranges_text(const std::vector<vmx::BitmapRange>& ranges, std::string (*describe)(const vmx::BitmapRange&)) {
    constexpr std::size_t most = 40;
    std::string text;
    for (std::size_t i = 0; i < std::min(most, ranges.size()); ++i) text += "      " + describe(ranges[i]) + "\n";
    if (ranges.size() > most) text += fmt::format("      … and {} more\n", ranges.size() - most);
    return text;
}

/// What exits, or where that is shorter what does not.
std::string intercepts_text(const Page& page, vmx::MsrAccess access) {
    Page passed = page;
    for (std::byte& b : passed) b = ~b;
    const auto out = vmx::intercepted_msrs(page_of(page), access),
               through = vmx::intercepted_msrs(page_of(passed), access);
    const std::string_view verb = access == vmx::MsrAccess::Read ? "RDMSR" : "WRMSR";
    if (out.empty()) return fmt::format("    {}: none of the MSRs that it covers exits\n", verb);
    if (through.empty()) return fmt::format("    {}: every one exits\n", verb);
    const bool shorter = through.size() <= out.size();
    return fmt::format("    {}: {}\n", verb, shorter ? "exits, but for" : "exits for") +
           ranges_text(shorter ? through : out, vmx::describe_msrs);
}

std::string msr_bitmap_text(std::string_view title, const Result<Page>& page) {
    if (!page) return fmt::format("  {}: {}\n", title, page.error().what);
    return fmt::format("  {}\n", title) + intercepts_text(*page, vmx::MsrAccess::Read) +
           intercepts_text(*page, vmx::MsrAccess::Write);
}

bool uses(const nested::Transition& t, std::uint64_t control) {
    const vmx::Value& v = t.vmcs12_after[Field::CPU_BASED_VM_EXEC_CONTROL];
    return v.known() && (v.bits & control);
}

Result<Page> page_of_l1(core::Target& target, const nested::Transition& t, Field field, std::uint64_t control) {
    if (!uses(t, control))
        return core::fail(fmt::format("vmcs12 does not use it: {} means nothing.", vmx::name_of(field)));
    return target.read_memory(t.vcpu, Space::L1Physical, t.vmcs12_after[field].bits, vmx::kBitmapPage);
}

std::string bitmaps_text(core::Target& target, const nested::Transition& t) {
    std::string text = msr_bitmap_text("MSR bitmap of vmcs12 (what L1 wants of L2)",
                                       page_of_l1(target, t, Field::MSR_BITMAP, vmx::proc::kMsrBitmaps));
    text +=
        msr_bitmap_text("MSR bitmap of vmcs01 (what L0 wants of L1)", target.msr_bitmap(t.vcpu, HardwareVmcs::Vmcs01));
    text += msr_bitmap_text("MSR bitmap of vmcs02 (merged: what the processor looks at while L2 runs)",
                            target.msr_bitmap(t.vcpu, HardwareVmcs::Vmcs02));
    const auto a = page_of_l1(target, t, Field::IO_BITMAP_A, vmx::proc::kIoBitmaps),
               b = page_of_l1(target, t, Field::IO_BITMAP_B, vmx::proc::kIoBitmaps);
    if (!a || !b) return text + fmt::format("  I/O bitmaps of vmcs12: {}\n", (a ? b : a).error().what);
    const auto ports = vmx::intercepted_ports(page_of(*a), page_of(*b));
    return text + "  I/O bitmaps of vmcs12: exits for\n" +
           (ports.empty() ? "      no port\n" : ranges_text(ports, vmx::describe_ports));
}

// ---- The commands

/// Attaches, steps to a nested entry where one is needed, gives `text` of the newest transition, and leaves.
/// Of a target without transitions, `bare` of where it stands, if that is given.
int look(const core::Backends& backends, const Options& o, bool at_entry,
         const std::function<Result<std::string>(core::Target&, const nested::Transition&)>& text,
         const std::function<Result<std::string>(core::Target&, std::uint32_t vcpu)>& bare = nullptr) {
    auto stepper = Stepper::attach(backends, o.target);
    if (!stepper) return complain(stepper.error());
    if (bare && !stepper->target().can(core::Ability::Transitions)) {
        const auto said = bare(stepper->target(), o.vcpu.value_or(stepper->last_stop().vcpu));
        const auto gone = stepper->target().detach();
        if (!said) return complain(said.error());
        say(*said);
        return gone ? kDone : complain(gone.error());
    }
    stepper->choose_vcpu(o.vcpu);
    stepper->limit_waits(std::chrono::seconds(o.timeout));
    auto t = stepper->newest();
    while (t && at_entry && t->kind != nested::Kind::NestedEntry) {
        if (const auto stopped = stepper->run(core::StepKind::Entry); !stopped) return complain(stopped.error());
        t = stepper->newest();
    }
    if (!t) return complain(t.error());
    const auto said = text(stepper->target(), *t);
    const auto left = stepper->target().detach();
    if (!said) return complain(said.error());
    say(fmt::format("At #{} {}, vCPU {}\n", t->seq, name_of(t->kind), t->vcpu) + *said);
    return left ? kDone : complain(left.error());
}

int memory(const core::Backends& backends, const Options& o) {
    const auto address = parse_address(o.address);
    if (!address) return complain(address.error());
    const auto dump = [&](core::Target& target, std::uint32_t vcpu, const char* usual) -> Result<std::string> {
        const Space space = *core::space_by_name(o.space.empty() ? usual : o.space);
        const auto bytes = target.read_memory(vcpu, space, *address, o.size);
        if (!bytes) return tl::unexpected(bytes.error());
        return hex_dump(*address, *bytes);
    };
    return look(
        backends, o, o.space.empty() || o.space.starts_with("l2"),
        [&](core::Target& target, const nested::Transition& t) { return dump(target, t.vcpu, "l2-linear"); },
        [&](core::Target& target, std::uint32_t vcpu) { return dump(target, vcpu, "l1-linear"); });
}

int walk(const core::Backends& backends, const Options& o) {
    const auto gpa = parse_address(o.address);
    if (!gpa) return complain(gpa.error());
    return look(backends, o, true, [&](core::Target& target, const nested::Transition& t) -> Result<std::string> {
        return ept12_text(target, t, *gpa) + ept02_text(target, t, *gpa);
    });
}

int bitmaps(const core::Backends& backends, const Options& o) {
    return look(backends, o, true, [](core::Target& target, const nested::Transition& t) -> Result<std::string> {
        return bitmaps_text(target, t);
    });
}

CLI::App* add(CLI::App& app, const char* name, const char* what, Options& o) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("TARGET", o.target, "What to attach to: lab:NAME, kvm:PID, kvm, unix:PATH, tcp:HOST:PORT")
        ->required();
    command->add_option("--vcpu", o.vcpu, "Of this vCPU");
    command->add_option("--timeout", o.timeout, "Seconds to wait for a nested VM-entry, 0 without end")
        ->capture_default_str();
    return command;
}

}  // namespace

void add_look_commands(CLI::App& app, const core::Backends& backends, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = add(app, "memory", "Show memory of a nested guest, where it is held", *o);
    command->add_option("ADDRESS", o->address, "Hexadecimal")->required();
    command->add_option("SIZE", o->size, "Bytes")->check(CLI::Range(1u, 65536u))->capture_default_str();
    command->add_option("--space", o->space, "Whose address it is (default: l2-linear; l1-linear at a GDB stub)")
        ->check(CLI::IsMember({"l1-phys", "l1-linear", "l2-phys", "l2-linear"}));
    command->footer(
        "For L2's addresses the guest first runs to its next nested VM-entry.\n\nExamples:\n"
        "  vmxscopectl memory lab:pae-ept 0x802000 64 --space l2-phys\n  vmxscopectl memory kvm 0x1000 --space "
        "l1-phys");
    command->callback([o, &backends, &run] { run = [o, &backends] { return memory(backends, *o); }; });

    command = add(app, "walk", "Walk EPT12 and EPT02 for an address of L2's, at the next nested VM-entry", *o);
    command->add_option("ADDRESS", o->address, "A physical address of L2's, hexadecimal")->required();
    command->footer("Example:\n  vmxscopectl walk lab:pae-ept 0x1800000");
    command->callback([o, &backends, &run] { run = [o, &backends] { return walk(backends, *o); }; });

    command = add(app, "bitmaps", "Show which MSRs and ports exit: by vmcs12, by vmcs01, and as merged for L2", *o);
    command->callback([o, &backends, &run] { run = [o, &backends] { return bitmaps(backends, *o); }; });
}

}  // namespace vmxscope::app
