#include "app/vmxscopectl/lab_command.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "app/vmxscopectl/progress.h"
#include "plugins/lab/catalog.h"
#include "plugins/lab/lab.h"

namespace vmxscope::app {
namespace {

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmxscopectl lab list\n"
    "  vmxscopectl lab start pae-ept                   then: vmxscope lab:pae-ept\n"
    "  vmxscopectl lab start pae-ept --instance two    a second one beside it\n"
    "  vmxscopectl lab start --kernel my-hypervisor.elf --append 'debug' --qemu-args '-m 128'\n"
    "  vmxscopectl lab exec pae-ept -- cat /run/l1.log\n"
    "  vmxscopectl lab console pae-ept -f\n"
    "  vmxscopectl lab stop --all";

int list_labs() {
    std::size_t width = 0;
    for (const lab::CatalogEntry& e : lab::catalog()) width = std::max(width, e.name.size());
    for (const lab::CatalogEntry& e : lab::catalog()) say(fmt::format("{:<{}}  {}\n", e.name, width, e.summary));
    return kDone;
}

int start_lab(lab::StartOptions options) {
    options.detached = true;
    ProgressLine progress;
    const auto started = lab::Lab::start(options, progress.callback());
    progress.clear();
    if (!started) return complain(started.error());
    const lab::InstanceInfo& info = started->info();
    say(
        fmt::format("{} is ready; its guest is paused before its first instruction.\n"
                    "  attach:  vmxscope lab:{}   or   vmxscopectl step lab:{}\n"
                    "  gdb:     target remote 127.0.0.1:{}\n"
                    "  shell:   vmxscopectl lab exec {} -- COMMAND\n"
                    "  stop:    vmxscopectl lab stop {}\n",
                    info.id, info.id, info.id, info.agent_port, info.id, info.id));
    return kDone;
}

int show_status() {
    const auto instances = lab::list_instances();
    if (!instances) return complain(instances.error());
    if (instances->empty()) say("No lab is running.\n");
    for (const lab::Instance& instance : *instances) {
        const auto info = instance.info();
        const std::string where = info ? fmt::format("agent tcp:127.0.0.1:{}", info->agent_port) : std::string();
        say(fmt::format("{}  {}{}\n    {}  log {}\n", instance.id(), lab::state_of(instance),
                        info && info->leashed ? ", for a program that is attached" : "", where,
                        instance.console().string()));
    }
    return kDone;
}

/// The instance that a command means: the named one (alive or ended), or the only one there is.
core::Result<lab::Instance> chosen(const std::string& id) {
    auto instances = lab::list_instances();
    if (!instances) return tl::unexpected(instances.error());
    const char* remedy = "See those that run with: vmxscopectl lab status";
    if (id.empty()) {
        if (instances->size() == 1) return (*instances)[0];
        return core::fail(
            instances->empty() ? "No lab is running." : "More than one lab is running: name the one you mean.", remedy);
    }
    for (const lab::Instance& instance : *instances)
        if (instance.id() == id) return instance;
    return core::fail(fmt::format("No lab {} is running.", id), remedy);
}

int stop_labs(const std::string& id, bool all) {
    std::vector<lab::Instance> which;
    if (all) {
        auto instances = lab::list_instances();
        if (!instances) return complain(instances.error());
        // One for a program that is attached ends with that program.
        for (lab::Instance& instance : *instances)
            if (const auto info = instance.info(); !info || !info->leashed || !instance.alive())
                which.push_back(std::move(instance));
        if (which.empty()) say("No lab is running that `lab start` started.\n");
    } else {
        auto one = chosen(id);
        if (!one) return complain(one.error());
        which.push_back(std::move(*one));
    }
    int status = kDone;
    for (const lab::Instance& instance : which) {
        if (auto stopped = instance.stop(); !stopped)
            status = complain(stopped.error());
        else
            say(fmt::format("{} stopped\n", instance.id()));
    }
    return status;
}

int show_console(const std::string& id, bool follow) {
    const auto instance = chosen(id);
    if (!instance) return complain(instance.error());
    std::uint64_t offset = 0;
    for (;;) {
        const bool alive = instance->alive();  // asked first, so that the last words are read too
        std::ifstream in(instance->console(), std::ios::binary);
        in.seekg(static_cast<std::streamoff>(offset));
        std::string text{std::istreambuf_iterator<char>(in), {}};
        offset += text.size();
        std::erase(text, '\0');
        if (!text.empty() && !say(text)) return kDone;
        if (!follow || !alive) return kDone;
        if (interrupted()) return kInterrupted;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

int exec_in_lab(const std::string& id, const std::vector<std::string>& command) {
    const auto instance = chosen(id);
    if (!instance) return complain(instance.error());
    const auto running = lab::Lab::open(instance->id());
    if (!running) return complain(running.error());
    const auto result = running->run(
        lab::shell_command(command), [](std::string_view piece) { say(piece); }, [] { return !interrupted(); });
    if (!result) return complain(result.error());
    return result->status;
}

void add_start(CLI::App& lab_app, Run& run) {
    auto o = std::make_shared<lab::StartOptions>();
    auto kernel = std::make_shared<std::string>();
    auto cpus = std::make_shared<unsigned>(0);
    CLI::App* command = lab_app.add_subcommand("start", "Start a lab and leave it running");
    auto* name = command->add_option("NAME", o->name, "One of those that `lab list` shows");
    auto* file =
        command->add_option("--kernel", *kernel, "Run this multiboot, PVH or Linux image instead")->type_name("FILE");
    command->add_option("--instance", o->instance, "What to call it (default: NAME)")->type_name("ID");
    command->add_option("--append", o->append, "The guest's command line")->type_name("TEXT");
    command->add_flag("--allow-writes", o->allow_writes, "Let the agent's clients write into the guest");
    command->add_option("--qemu-args", o->qemu_args, "More arguments for QEMU, quoted as for a shell")
        ->type_name("ARGS");
    command->add_option("--cpus", *cpus, "Emulated processors, and vCPUs of the guest")
        ->type_name("N")
        ->check(CLI::Range(1, 4));
    command->add_option("--memory", o->memory, "The guest's memory in MiB")
        ->type_name("MIB")
        ->check(CLI::Range(16, 512))
        ->capture_default_str();
    command->add_flag("--from-boot", o->from_boot, "Boot the emulated machine from its start");
    command->callback([o, kernel, cpus, name, file, &run] {
        if (name->empty() && file->empty()) throw CLI::RequiredError("NAME or --kernel");
        run = [o, kernel, cpus] {
            o->kernel = *kernel;
            if (*cpus != 0) o->cpus = *cpus;
            return start_lab(*o);
        };
    });
}

void add_stop(CLI::App& lab_app, Run& run) {
    auto id = std::make_shared<std::string>();
    auto all = std::make_shared<bool>(false);
    CLI::App* command = lab_app.add_subcommand("stop", "Stop a lab");
    command->add_option("NAME", *id, "Its name; may be left out when only one runs");
    command->add_flag("--all", *all, "Every lab that `lab start` started");
    command->callback([id, all, &run] { run = [id, all] { return stop_labs(*id, *all); }; });
}

void add_console(CLI::App& lab_app, Run& run) {
    auto id = std::make_shared<std::string>();
    auto follow = std::make_shared<bool>(false);
    CLI::App* command = lab_app.add_subcommand("console", "Show what a lab has written to its serial line");
    command->add_option("NAME", *id, "Its name; may be left out when only one runs");
    command->add_flag("-f,--follow", *follow, "Go on as more comes");
    command->callback([id, follow, &run] { run = [id, follow] { return show_console(*id, *follow); }; });
}

void add_exec(CLI::App& lab_app, Run& run) {
    auto id = std::make_shared<std::string>();
    auto words = std::make_shared<std::vector<std::string>>();
    CLI::App* command = lab_app.add_subcommand("exec", "Run a command as root in a lab; ends with its status");
    command->add_option("NAME", *id, "The lab's name")->required();
    command->add_option("COMMAND", *words, "The command, after --; a single word is a shell command line")->required();
    command->callback([id, words, &run] { run = [id, words] { return exec_in_lab(*id, *words); }; });
}

}  // namespace

void add_lab_command(CLI::App& app, Run& run) {
    CLI::App* command = app.add_subcommand("lab", "Labs: real KVM on an emulated processor, for machines without VT-x");
    command->require_subcommand(1);
    command->footer(std::string(kExamples));
    command->add_subcommand("list", "Show the labs there are")->callback([&run] { run = list_labs; });
    add_start(*command, run);
    add_stop(*command, run);
    command->add_subcommand("status", "Show the labs that run")->callback([&run] { run = show_status; });
    add_console(*command, run);
    add_exec(*command, run);
}

}  // namespace vmxscope::app
