#include "plugins/lab/lab.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include <fmt/format.h>

#include "core/places.h"
#include "plugins/lab/archive.h"
#include "plugins/lab/bootable.h"
#include "plugins/lab/catalog.h"
#include "plugins/lab/console.h"
#include "plugins/lab/image.h"
#include "plugins/lab/spawn.h"
#include "plugins/lab/supervise.h"

namespace vmxscope::lab {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kStartLimit{10};
constexpr double kImageDone = 0.1;  // of the whole start; the image is nearly always there

std::string read_file(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// What is to run, decided and checked before anything is started.
struct Plan {
    std::string name, guest, id;
    unsigned cpus = 1;
};

core::Result<Plan> make_plan(const StartOptions& o) {
    Plan plan;
    if (!o.kernel.empty()) {
        if (auto kind = boot_kind(o.kernel); !kind) return tl::unexpected(kind.error());
        plan.name = o.name.empty() ? o.kernel.filename().string() : o.name;
        plan.cpus = o.cpus.value_or(1);
    } else {
        const CatalogEntry* entry = find_lab(o.name);
        if (!entry)
            return core::fail(
                fmt::format("No lab is called '{}'.", o.name),
                fmt::format("There are: {}. An image of yours runs with: vmxscopectl lab start --kernel FILE",
                            catalog_names()));
        plan.name = plan.guest = entry->name;
        plan.cpus = o.cpus.value_or(entry->cpus);
    }
    if (plan.cpus < 1 || plan.cpus > 4)
        return core::fail(fmt::format("A lab cannot have {} processors.", plan.cpus), "Give it 1 to 4: --cpus 2");
    plan.id = o.instance;
    if (plan.id.empty()) plan.id = o.detached ? plan.name : fmt::format("{}.{}", plan.name, getpid());
    return plan;
}

/// /lab/instance/ as an archive. Its kernel is the user's, or the catalog's that came with the product.
std::string instance_archive(const Plan& plan, const StartOptions& o) {
    // Our own guests need no PC: without its firmware they begin sooner. A user's image may.
    const std::string_view machine = o.kernel.empty() ? "microvm" : "pc,usb=off,vmport=off,hpet=off,graphics=off";
    Archive archive;
    archive.add_folder("lab");
    archive.add_folder("lab/instance");
    if (!o.kernel.empty()) archive.add_file("lab/instance/kernel", read_file(o.kernel));
    archive.add_file("lab/instance/config",
                     fmt::format("lab_name={}\nguest={}\nmachine={}\nappend={}\nqemu_args={}\ncpus={}\nmemory={}\nagent_args={}\n",
                                 shell_quoted(plan.name), shell_quoted(plan.guest), shell_quoted(machine),
                                 shell_quoted(o.append), shell_quoted(o.qemu_args), plan.cpus, o.memory, o.allow_writes ? "--allow-writes" : ""));
    return std::move(archive).finish();
}

/// The lab's addresses (init gives it 10.0.2.15) at ports of this machine. The first line is what makes Bochs read it.
std::string network_config(const InstanceInfo& info) {
    std::string text = "# slirp config\n";
    for (const auto& [ours, theirs] :
         {std::pair{info.agent_port, 4000}, {info.shell_port, 4001}, {info.loader_port, 4002}})
        text += fmt::format("hostfwd = tcp:127.0.0.1:{}-10.0.2.15:{}\n", ours, theirs);
    return text;
}

std::string supervisor_path() {
    std::error_code error;
    const fs::path beside = core::program_folder() / "vmxscope-lab-supervisor";
    return fs::exists(beside, error) ? beside.string() : VMXSCOPE_LAB_SUPERVISOR;
}

/// One lab on its way to `ready`.
class Starting {
  public:
    Starting(const Instance& instance, const core::Progress& progress)
        : instance_(instance), progress_(progress), console_(instance.console()) {}

    /// Lets time pass: takes in what the lab says, tells the progress. An Error = the start has failed.
    core::Result<void> look() {
        for (ConsoleEvent& event : console_.read())
            if (auto taken = take(std::move(event)); !taken) return taken;
        if (!instance_.alive()) return failed(instance_.ended().value_or("The lab's supervisor is gone."));
        if (Clock::now() - began_ > kStartLimit) return failed("The lab is not ready after 10 minutes.");
        return tell();
    }
    KeepOn keep_on() {
        return [this] { return look(); };
    }
    core::Result<void> until(ConsoleEvent::Kind kind) {
        while (seen_ != kind) {
            if (auto go = look(); !go) return go;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        return {};
    }
    void enter(std::string step, double fraction) {
        step_ = std::move(step);
        fraction_ = std::max(fraction_, fraction);
        step_began_ = Clock::now();
    }

  private:
    core::Result<void> take(ConsoleEvent event) {
        if (event.kind == ConsoleEvent::Kind::Error) return failed(event.text);
        if (event.kind == ConsoleEvent::Kind::GuestEnded) return failed("QEMU ended with status " + event.text + ".");
        if (event.kind == ConsoleEvent::Kind::Stage) enter("the lab: " + event.text, fraction_);
        if (const auto f = start_fraction(event)) fraction_ = std::max(fraction_, *f);
        if (event.kind != ConsoleEvent::Kind::Kernel) seen_ = event.kind;
        return {};
    }

    /// A step that takes long is told with its seconds, so that no one wonders.
    core::Result<void> tell() {
        if (!progress_) return {};
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - step_began_).count();
        const std::string text = seconds < 3 ? step_ : fmt::format("{} ({} s)", step_, seconds - seconds % 3);
        if (!progress_(text, kImageDone + (1 - kImageDone) * fraction_))
            return core::fail("The start of the lab was given up.");
        return {};
    }

    core::Result<void> failed(std::string_view why) const {
        std::string log = tail_of(instance_.console(), 12);
        if (log.empty()) log = tail_of(instance_.folder() / "bochs.log", 12);
        return core::fail(fmt::format("The lab does not start: {}", why),
                          log.empty() ? "" : "The end of its log:" + log);
    }

    const Instance& instance_;
    const core::Progress& progress_;
    Console console_;
    Clock::time_point began_ = Clock::now(), step_began_ = began_;
    std::string step_;
    double fraction_ = 0;
    std::optional<ConsoleEvent::Kind> seen_;
};

/// Writes what Bochs reads, and starts it under a supervisor. Gives the end of the leash that we hold.
core::Result<core::Fd> start_machine(const NewInstance& made, const InstanceInfo& info, const Image& image,
                                     bool from_boot) {
    const fs::path& folder = made.instance.folder();
    std::ofstream(folder / "slirp.conf") << network_config(info);
    std::ofstream(folder / "go") << "c\n";  // for Bochs's debugger, which Debian's Bochs always has: continue
    std::error_code error;
    fs::create_symlink(image.boot_cd, folder / "boot.iso", error);
    std::vector<std::string> bochs = {"bochs-bin", "-q", "-rc", "go"};
    if (from_boot || !fs::exists(image.machine / "state" / "config", error)) {
        bochs.insert(bochs.end(), {"-f", (image.machine / "bochsrc").string()});
    } else {
        bochs.insert(bochs.end(), {"-r", (image.machine / "state").string()});
    }
    auto leash = make_pipe();
    if (!leash) return tl::unexpected(leash.error());
    std::vector<std::string> command = {supervisor_path(), folder.string()};
    command.insert(command.end(), bochs.begin(), bochs.end());
    const auto supervisor =
        spawn(command, {.descriptors = {{leash->read.get(), kLeashDescriptor}, {made.lock.get(), kLockDescriptor}},
                        .output = {},
                        .folder = "/"});
    if (!supervisor) return tl::unexpected(supervisor.error());
    wait_for_end(*supervisor, std::chrono::seconds(10));  // it goes on in a process of its own
    return std::move(leash->write);
}

core::Result<void> bring_up(Starting& starting, const InstanceInfo& info, const Plan& plan, const StartOptions& o,
                            const Image& image) {
    if (o.from_boot) {
        starting.enter("booting the emulated machine", 0.02);
        if (auto waiting = starting.until(ConsoleEvent::Kind::Waiting); !waiting) return waiting;
    }
    starting.enter("sending the agent and the module to the lab", 0.3);
    if (auto sent = send_archive(info.loader_port, read_file(image.product), starting.keep_on()); !sent) return sent;
    starting.enter("sending the guest to the lab", 0.6);
    if (auto sent = send_archive(info.loader_port, instance_archive(plan, o), starting.keep_on()); !sent) return sent;
    return starting.until(ConsoleEvent::Kind::Ready);
}

}  // namespace

core::Result<Lab> Lab::start(const StartOptions& options, const core::Progress& progress) {
    const auto plan = make_plan(options);
    if (!plan) return tl::unexpected(plan.error());
    if (find_running(plan->id)) return tl::unexpected(create_instance(plan->id).error());  // before any slow work
    const auto image = make_image(
        plan->cpus, [&](std::string_view step, double) { return !progress || progress(step, kImageDone / 2); });
    if (!image) return tl::unexpected(image.error());
    auto made = create_instance(plan->id);
    if (!made) return tl::unexpected(made.error());
    const auto ports = free_ports(3);
    if (!ports) return tl::unexpected(ports.error());
    InstanceInfo info{plan->id, plan->name, plan->cpus, !options.detached, (*ports)[0], (*ports)[1], (*ports)[2]};
    if (auto written = made->instance.write_info(info); !written) return tl::unexpected(written.error());
    auto leash = start_machine(*made, info, *image, options.from_boot);
    if (!leash) return tl::unexpected(leash.error());
    made->lock.reset();  // the supervisor has it now
    Starting starting(made->instance, progress);
    if (auto up = bring_up(starting, info, *plan, options, *image); !up) {
        leash->reset();
        (void)made->instance.stop();
        return tl::unexpected(up.error());
    }
    if (options.detached) {
        if (write(leash->get(), &kLetGo, 1) != 1)
            return core::fail("The lab's supervisor is gone.", "Start the lab again.");
        leash->reset();
    }
    return Lab(std::move(made->instance), std::move(info), std::move(*leash));
}

core::Result<Lab> Lab::open(std::string_view id) {
    auto instance = find_running(id);
    if (!instance)
        return core::fail(fmt::format("No lab {} is running.", id), "See those that run with: vmxscopectl lab status");
    auto info = instance->info();
    if (!info) return tl::unexpected(info.error());
    return Lab(std::move(*instance), std::move(*info), core::Fd());
}

std::string Lab::agent_endpoint() const {
    return fmt::format("tcp:127.0.0.1:{}", info_.agent_port);
}

core::Result<CommandResult> Lab::run(std::string_view command, const std::function<void(std::string_view)>& on_output,
                                     const std::function<bool()>& keep_on) const {
    const KeepOn check = [&]() -> core::Result<void> {
        if (!instance_.alive())
            return core::fail(fmt::format("The lab has ended: {}", ended().value_or("it was stopped.")),
                              "Start it again.");
        if (keep_on && !keep_on()) return core::fail("The command was given up.");
        return {};
    };
    return run_command(info_.shell_port, command, check, on_output);
}

core::Result<void> Lab::stop() {
    leash_.reset();
    return instance_.stop();
}

std::string state_of(const Instance& instance) {
    if (const auto why = instance.ended()) return "ended: " + *why;
    std::string state = "starting";
    Console console(instance.console());
    for (const ConsoleEvent& event : console.read()) {
        using Kind = ConsoleEvent::Kind;
        if (event.kind == Kind::Ready) state = "ready";
        if (event.kind == Kind::Stage && state != "ready") state = "starting (" + event.text + ")";
        if (event.kind == Kind::Error) return "failed: " + event.text;
        if (event.kind == Kind::GuestEnded) return "guest ended with status " + event.text;
    }
    return state;
}

}  // namespace vmxscope::lab
