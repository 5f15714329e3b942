#include "app/vmxscopectl/check_command.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/stepper.h"
#include "core/cpu_catalog.h"
#include "core/entry_report.h"
#include "core/import/import.h"
#include "core/near_name.h"

namespace vmxscope::app {
namespace {

struct Options {
    std::string source, cpu;
    std::vector<std::string> changes;
    bool json = false, list = false, markdown = false, vmcs02 = false;
    std::size_t number = 1;
    std::optional<std::uint32_t> vcpu;
    std::uint32_t timeout = 120;
};

constexpr std::string_view kExamples =
    "SOURCE is a file (a vmcs12 page, a buffer of KVM_GET_NESTED_STATE, a dump of KVM's or Xen's, a migration stream "
    "of\n"
    "QEMU's; - is standard input), or a target: then its last nested transition is checked. Exit status: 0 no rule is\n"
    "broken, 1 one is, 2 wrong use, or nothing to check.\n"
    "\n"
    "Examples:\n"
    "  vmxscopectl check vmcs12.bin --cpu bochs-corei7-skylake-x\n"
    "  vmxscopectl check lab:pae-ept                       vmcs12, against what KVM lets L1 believe of the processor\n"
    "  vmxscopectl check kvm --vmcs02                      what KVM made of it, against the processor itself\n"
    "  vmxscopectl check vmcs12.bin --set GUEST_CR0=0x31   what if\n"
    "  vmxscopectl check --list                            the rules";

std::string_view closest_field(std::string_view name) {
    std::vector<std::string_view> names;
    for (const vmx::FieldInfo& f : vmx::all_fields()) names.push_back(f.name);
    return core::nearest_name(name, names);
}

/// Decimal, or hexadecimal after "0x".
std::optional<std::uint64_t> parse_number(std::string_view text) {
    const bool hex = text.starts_with("0x");
    if (hex) text.remove_prefix(2);
    std::uint64_t bits = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, hex ? 16 : 10);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return bits;
}

/// "FIELD=VALUE".
core::Result<void> change(vmx::VmcsImage& image, const std::string& assignment) {
    const std::size_t equals = std::min(assignment.find('='), assignment.size());
    std::string name = assignment.substr(0, equals);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    const auto field = vmx::field_by_name(name);
    if (!field && name.size() > 64) return core::fail("--set needs FIELD=VALUE.");
    if (!field)
        return core::fail(fmt::format("No field is called '{}'.", name),
                          fmt::format("Is {} meant?", closest_field(name)));
    const auto value =
        equals < assignment.size() ? parse_number(std::string_view(assignment).substr(equals + 1)) : std::nullopt;
    if (!value)
        return core::fail(fmt::format("'{}' gives {} no number.", assignment, name),
                          "Decimal, or hexadecimal after 0x: GUEST_CR0=0x31");
    const unsigned width = 8 * vmx::bytes_of(*field);
    if (width < 64 && *value >> width != 0)
        return core::fail(fmt::format("{} has {} bits; {:#x} has more.", name, width, *value));
    image[*field] = vmx::Value::of(*value);
    return {};
}

/// What is checked, and where it is from.
struct Source {
    core::CheckedEntry entry;
    std::string name;
};

core::Result<Source> from_file(const Options& o) {
    auto imported = core::import_file(o.source);
    if (!imported) return tl::unexpected(imported.error());
    for (const std::string& warning : imported->warnings) remark(warning);
    auto& all = imported->vmcses;
    if (o.number < 1 || o.number > all.size())
        return core::fail(fmt::format("'{}' has {} VMCS{}; there is no number {}.", o.source, all.size(),
                                      all.size() == 1 ? "" : "s", o.number));
    if (all.size() > 1) remark(fmt::format("VMCS {} of {}; --number N chooses another.", o.number, all.size()));
    const core::ImportedVmcs& vmcs = all[o.number - 1];
    Source source;
    source.entry.image = vmcs.image;
    source.name = std::string(name_of(vmcs.role)) + (vmcs.label.empty() ? "" : ", " + vmcs.label);
    if (o.cpu.empty())
        remark("What the processor can do is not known: name one with --cpu (see vmxscopectl check --help).");
    return source;
}

/// The newest transition of the vCPU that entered or left L2; steps to one when none is kept.
core::Result<nested::Transition> last_nested(Stepper& stepper) {
    auto t = stepper.newest();
    if (!t) return t;
    const auto history = stepper.target().history();
    if (!history) return tl::unexpected(history.error());
    const std::uint32_t vcpu = t->vcpu;
    while (t && !(t->vcpu == vcpu && core::matches(core::StepKind::Nested, t->kind))) {
        if (interrupted()) return core::fail("Interrupted.");
        if (t->seq <= history->first) {
            const auto stopped = stepper.run(core::StepKind::Nested);
            if (!stopped) return tl::unexpected(stopped.error());
            return stepper.target().transition(stopped->stop.seq);
        }
        t = stepper.target().transition(t->seq - 1);
    }
    return t;
}

/// The VM-entry MSR-load area of vmcs12, if all of it can be read: at most 4,096 entries of 16 bytes.
void read_msr_area(core::Target& target, std::uint32_t vcpu, core::CheckedEntry& entry) {
    const vmx::Value count = entry.image[vmx::Field::VM_ENTRY_MSR_LOAD_COUNT],
                     address = entry.image[vmx::Field::VM_ENTRY_MSR_LOAD_ADDR];
    if (!count.known() || !address.known() || count.bits == 0 || count.bits > 4096) return;
    const auto bytes =
        target.read_memory(vcpu, core::Space::L1Physical, address.bits, count.bits * sizeof(vmx::MsrEntry));
    if (!bytes) return remark("The MSRs to load could not be read: " + bytes.error().what);
    static_assert(sizeof(vmx::MsrEntry) == 16, "SDM table 25-15");
    entry.msrs.resize(bytes->size() / sizeof(vmx::MsrEntry));
    std::memcpy(entry.msrs.data(), bytes->data(), entry.msrs.size() * sizeof(vmx::MsrEntry));
    entry.msrs_read = true;
}

core::Result<Source> from_transition(core::Target& target, const nested::Transition& t, const Options& o) {
    const bool entry = t.kind != nested::Kind::NestedExit;  // then vmcs12 is what L1 would enter with next
    Source source;
    source.entry.image = o.vmcs02 ? t.vmcs02_after : entry ? t.vmcs12_before : t.vmcs12_after;
    source.name = fmt::format("{} of transition #{} ({}, vCPU {})", o.vmcs02 ? "vmcs02" : "vmcs12", t.seq,
                              name_of(t.kind), t.vcpu);
    if (o.cpu.empty()) {
        const auto caps = target.capabilities();
        if (caps) source.entry.capabilities = o.vmcs02 ? caps->l0 : caps->l1;
        if (!caps) remark("What the processor can do is not known: " + caps.error().what + " Name one with --cpu.");
    }
    if (!o.vmcs02) read_msr_area(target, t.vcpu, source.entry);
    return source;
}

core::Result<Source> from_target(const core::Backends& backends, const Options& o) {
    auto stepper = Stepper::attach(backends, o.source);
    if (!stepper) return tl::unexpected(stepper.error());
    stepper->choose_vcpu(o.vcpu);
    stepper->limit_waits(std::chrono::seconds(o.timeout));
    const auto t = last_nested(*stepper);
    auto source = t ? from_transition(stepper->target(), *t, o) : tl::unexpected(t.error());
    if (const auto left = stepper->target().detach(); !left && source) return tl::unexpected(left.error());
    return source;
}

core::Result<Source> load(const core::Backends& backends, const Options& o) {
    vmx::VmcsImage scratch;  // mistakes in the options are told before a slow attach
    for (const std::string& c : o.changes)
        if (const auto ok = change(scratch, c); !ok) return tl::unexpected(ok.error());
    vmx::Capabilities cpu;
    if (!o.cpu.empty()) {
        const auto loaded = core::load_cpu(o.cpu);
        if (!loaded) return tl::unexpected(loaded.error());
        cpu = *loaded;
    }
    std::error_code ignored;
    const bool file = o.source == "-" || std::filesystem::exists(o.source, ignored);
    auto source = file ? from_file(o) : from_target(backends, o);
    if (!source) return source;
    if (!o.cpu.empty()) source->entry.capabilities = cpu;
    for (const std::string& c : o.changes) (void)change(source->entry.image, c);
    return source;
}

int check(const core::Backends& backends, const Options& o) {
    if (o.list) {
        say(o.markdown ? core::entry_rules_markdown() : core::entry_rules_text());
        return kDone;
    }
    const auto source = load(backends, o);
    if (!source) return complain(source.error()) == kInterrupted ? kInterrupted : kUsage;
    if (o.json) {
        auto json = core::entry_check_json(source->entry);
        json["vmcs"] = source->name;
        say(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    } else {
        say(source->name + "\n" + core::entry_check_text(source->entry));
    }
    return source->entry.check().first() ? kFailed : kDone;
}

}  // namespace

void add_check_command(CLI::App& app, const core::Backends& backends, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("check", "Say whether a processor would enter the guest of a VMCS, and if not, why");
    auto* source = command->add_option("SOURCE", o->source,
                                       "A file, or a target: lab:NAME, kvm:PID, kvm, unix:PATH, tcp:HOST:PORT");
    command->add_option("--set", o->changes, "Check with FIELD=VALUE instead; may be given several times")
        ->allow_extra_args(false);
    command->add_option("--cpu", o->cpu, "The processor: one of resources/cpus, or a file like those");
    command->add_flag("--vmcs02", o->vmcs02, "Of a target: what KVM runs L2 on, instead of what L1 wrote");
    command->add_option("--number", o->number, "Of a file with several VMCSs: which, from 1")->capture_default_str();
    command->add_option("--vcpu", o->vcpu, "Of a target: the last nested transition of this vCPU");
    command->add_option("--timeout", o->timeout, "Seconds to wait for a first transition, 0 without end")
        ->capture_default_str();
    command->add_flag("--json", o->json, "One JSON object");
    auto* list = command->add_flag("--list", o->list, "List the rules")->excludes(source);
    command->add_flag("--markdown", o->markdown, "The list as docs/entry-checks.md")->needs(list);
    command->footer(std::string(kExamples));
    command->callback([o, &backends, &run] {
        if (!o->list && o->source.empty()) throw CLI::RequiredError("SOURCE or --list");
        run = [o, &backends] { return check(backends, *o); };
    });
}

}  // namespace vmxscope::app
