// vmxscopectl: the command line. One subcommand a pair of files; see command.h.
#include "app/backends.h"
#include "app/vmxscopectl/bookmark_command.h"
#include "app/vmxscopectl/check_command.h"
#include "app/vmxscopectl/command.h"
#include "app/vmxscopectl/export_command.h"
#include "app/vmxscopectl/import_command.h"
#include "app/vmxscopectl/lab_command.h"
#include "app/vmxscopectl/look_command.h"
#include "app/vmxscopectl/plugins_command.h"
#include "app/vmxscopectl/query_command.h"
#include "app/vmxscopectl/record_command.h"
#include "app/vmxscopectl/serve_command.h"
#include "app/vmxscopectl/show_command.h"
#include "app/vmxscopectl/stats_command.h"
#include "app/vmxscopectl/step_command.h"
#include "app/vmxscopectl/targets_command.h"
#include "app/vmxscopectl/time_commands.h"

using namespace vmxscope;

int main(int argc, char** argv) {
    const core::Plugins plugins = app::load_plugins();
    const core::Backends& backends = plugins.backends();
    app::Run run;
    CLI::App cli{"Steps a nested KVM guest's VM-entries and VM-exits and shows vmcs12 beside vmcs02."};
    cli.set_version_flag("--version", VMXSCOPE_VERSION);
    cli.require_subcommand(1);
    cli.fallthrough();  // so that --connect may stand after the subcommand
    cli.add_option_function<std::string>("--connect", app::choose_libvirt, app::kConnectHelp)->type_name("URI");
    cli.footer(
        "Examples:\n"
        "  vmxscopectl targets\n"
        "  vmxscopectl step lab:pae-ept\n"
        "  vmxscopectl show kvm --fields pdptr\n"
        "Each subcommand has examples of its own: vmxscopectl step --help");
    app::add_step_command(cli, backends, run);
    app::add_record_command(cli, backends, run);
    app::add_show_command(cli, backends, run);
    app::add_check_command(cli, backends, run);
    app::add_look_commands(cli, backends, run);
    app::add_targets_command(cli, backends, run);
    app::add_plugins_command(cli, plugins, run);
    app::add_lab_command(cli, run);
    app::add_import_command(cli, run);
    app::add_query_command(cli, run);
    app::add_stats_command(cli, run);
    app::add_time_commands(cli, backends, run);
    app::add_bookmark_command(cli, run);
    app::add_serve_command(cli, backends, run);
    app::add_export_command(cli, run);
    try {
        cli.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return cli.exit(e) == 0 ? app::kDone : app::kUsage;
    }
    app::catch_interrupts();
    return run();
}
