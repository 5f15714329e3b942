#include "app/vmxscopectl/serve_command.h"

#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/progress.h"
#include "app/vmxscopectl/seen.h"
#include "core/rsp/server.h"

namespace vmxscope::app {
namespace {

struct Options {
    std::string file, listen = "tcp:127.0.0.1:0", group;
    bool trust_network = false;
};

int serve(const core::Backends& backends, const Options& o) {
    const std::string uri = fmt::format("{}:{}", core::kTraceScheme, trace_file_of(o.file).value_or(o.file));
    {
        ProgressLine progress;  // what is wrong with the file is better said now than to the first client
        if (const auto target = backends.attach(uri, progress.callback()); !target) return complain(target.error());
    }
    const auto endpoint = core::rsp::parse_endpoint(o.listen);
    if (!endpoint) return complain(endpoint.error());
    const auto listener = core::rsp::listen_on(*endpoint, {o.group, o.trust_network});
    if (!listener) return complain(listener.error());
    say(fmt::format("listening on {}\n", listener->endpoint().text()));

    core::rsp::Server server(
        [&] { return backends.attach(uri, [](std::string_view, double) { return !interrupted(); }); },
        {.log = [](std::string_view line) { remark(line); }});
    const auto served = server.serve(*listener, interrupt_flag());
    return served ? kDone : complain(served.error());
}

}  // namespace

void add_serve_command(CLI::App& app, const core::Backends& backends, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("serve", "Serve a recording over the GDB remote protocol, until Ctrl-C");
    command->add_option("FILE", o->file, "The trace")->required();
    command->add_option("--listen", o->listen, "unix:PATH or tcp:HOST:PORT; port 0 is any that is free")
        ->capture_default_str();
    command->add_option("--group", o->group, "Group that may open the unix socket (default: your own)");
    command->add_flag("--trust-network", o->trust_network, "Listen on an address that other machines reach");
    command->footer(
        "Examples:\n"
        "  vmxscopectl serve boot.vxt --listen tcp:127.0.0.1:4000\n"
        "Then: gdb -ex 'target remote 127.0.0.1:4000', with stepi, reverse-stepi, continue, reverse-continue");
    command->callback([o, &backends, &run] { run = [o, &backends] { return serve(backends, *o); }; });
}

}  // namespace vmxscope::app
