#include "app/vmxscopectl/import_command.h"

#include <memory>

#include "core/import/import.h"
#include "core/import/report.h"

namespace vmxscope::app {
namespace {

struct Options {
    std::string file, format, fields;
    bool json = false;
};

constexpr std::string_view kExamples =
    "The formats: kvm (what KVM's dump_vmcs prints to the kernel's log), xen (Xen's debug key 'v'), vmcs12 (KVM's own\n"
    "structure, from memory), nested-state (KVM_GET_NESTED_STATE), qemu (a migration stream). The format is found "
    "out;\n"
    "--format forces it. A vmcs12 is L1's; a log has what a processor ran: vmcs01 or vmcs02.\n"
    "\n"
    "Examples:\n"
    "  vmxscopectl import dmesg.txt\n"
    "  dmesg | vmxscopectl import -                             from standard input\n"
    "  vmxscopectl import state.bin --fields 'pdptr|cr|ept'     some of the fields\n"
    "  vmxscopectl import dmesg.txt --json | jq '.vmcses[0].fields[] | select(.meaningless == null)'";

int import_dump(const Options& o) {
    if (const auto ok = core::matching_fields(o.fields); !ok) return complain(ok.error());
    const auto imported =
        core::import_file(o.file, o.format.empty() ? std::nullopt : core::dump_format_by_name(o.format));
    if (!imported) return complain(imported.error());
    if (o.json) {
        const auto json = core::imported_json(*imported, o.fields);
        if (!json) return complain(json.error());
        say(core::to_line(*json) + "\n");
        return kDone;
    }
    const auto text =
        core::imported_text(*imported, o.fields, stdout_is_terminal() ? core::Style::Colour : core::Style::Plain);
    if (!text) return complain(text.error());
    say(*text);
    return kDone;
}

}  // namespace

void add_import_command(CLI::App& app, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("import", "Show the VMCSs in a log, a page of memory or a saved virtual machine");
    command->add_option("FILE", o->file, "The dump; '-' is standard input")->required();
    command->add_option("--format", o->format, "Read it as this format")
        ->check(CLI::IsMember({"kvm", "xen", "vmcs12", "nested-state", "qemu"}));
    command->add_option("--fields", o->fields, "Only fields whose names match this regular expression, in either case");
    command->add_flag("--json", o->json, "One JSON object (see import.schema.json)");
    command->footer(std::string(kExamples));
    command->callback([o, &run] { run = [o] { return import_dump(*o); }; });
}

}  // namespace vmxscope::app
