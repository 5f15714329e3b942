// What watching costs: lets a lab's guest run for a while untraced and with each scope of evidence, in one boot, and
// prints its progress as ratios. Nothing here passes or fails. Usage: lab_cost [LAB [SECONDS]]; LAB as `vmxscopectl lab
// start` takes it, SECONDS of the emulated clock for each measurement.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "core/rsp/remote_target.h"
#include "tests/lab/lab_fixture.h"

using namespace vmxscope;
using nested::EvidenceScope;

namespace {

constexpr unsigned kSteps = 40;  // nested entries and exits

template <typename T>
T require(core::Result<T> result) {
    if (!result) {
        std::fprintf(stderr, "%s\n", result.error().text().c_str());
        std::exit(1);
    }
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// Where the guest and the emulated clock are. L1 counts its rounds on its console (every 64).
struct Moment {
    double uptime = 0, rounds = 0;
};

Moment now(const lab::Lab& lab) {
    const std::string text = lab::sh(lab, "cut -d' ' -f1 /proc/uptime; tail -n 1 /run/l1.log | tr -dc 0-9");
    Moment m;
    if (std::sscanf(text.c_str(), "%lf %lf", &m.uptime, &m.rounds) != 2)
        std::fprintf(stderr, "no round yet: %s\n", text.c_str());
    return m;
}

/// Rounds of the guest in a second of the emulated clock, over at least `seconds` of it and 128 rounds.
double speed(const lab::Lab& lab, double seconds, const std::function<void()>& meanwhile) {
    const Moment begin = now(lab);
    Moment end = begin;
    while (end.uptime - begin.uptime < seconds || end.rounds - begin.rounds < 128) {
        meanwhile();
        end = now(lab);
    }
    return (end.rounds - begin.rounds) / (end.uptime - begin.uptime);
}

core::Stop stop_of(core::Target& target) {
    for (;;)
        if (const auto stop = require(target.wait(std::chrono::milliseconds(200)))) return *stop;
}

struct Stepped {
    double seconds = 0;   // of the emulated clock, for a step
    double evidence = 0;  // VMREADs and VMWRITEs seen in a round trip
    std::uint64_t lost = 0;
};

Stepped step(const lab::Lab& lab, core::Target& target) {
    Stepped out;
    const auto step_once = [&] {
        require(target.resume({{std::nullopt, core::StepKind::Nested}}));
        return stop_of(target).seq;
    };
    // The first few still tell of what was lost before.
    for (unsigned i = 0; i < 4; ++i) step_once();
    const double begin = now(lab).uptime;
    std::uint64_t first = step_once() + 1, last = first;
    for (unsigned i = 1; i < kSteps; ++i) last = step_once();
    out.seconds = (now(lab).uptime - begin) / kSteps;
    std::size_t seen = 0, entries = 0;
    for (std::uint64_t seq = first; seq < last; ++seq) {
        const auto t = require(target.transition(seq));
        seen += t.evidence.size();
        entries += t.kind == nested::Kind::NestedEntry;
        out.lost += t.lost_before;
    }
    out.evidence = entries ? static_cast<double>(seen) / static_cast<double>(entries) : 0;
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string name = argc > 1 ? argv[1] : "pae-ept";
    const double seconds = argc > 2 ? std::atof(argv[2]) : 20;
    const lab::Lab& lab = lab::running_lab(name);
    const auto attach = [&] {
        return require(core::rsp::attach_remote(lab.agent_endpoint(), name, lab::told_on_stderr()));
    };
    attach()->detach();  // the agent lets the paused guest go
    const auto idle = [] { std::this_thread::sleep_for(std::chrono::seconds(2)); };
    const double untraced = speed(lab, seconds, idle);
    fmt::print("untraced: {:.0f} rounds/s of the emulated clock\n", untraced);
    auto target = attach();
    stop_of(*target);
    for (const EvidenceScope scope : {EvidenceScope::None, EvidenceScope::Pdptrs, EvidenceScope::All}) {
        const double before = now(lab).uptime;
        require(target->set_evidence(scope));
        const double placing = now(lab).uptime - before;
        const Stepped stepped = step(lab, *target);
        require(target->resume({core::Action{}}));
        const double traced = speed(lab, seconds, [&] { require(target->wait(std::chrono::seconds(2))); });
        const auto history = require(target->history());
        require(target->interrupt());
        stop_of(*target);
        fmt::print(
            "{:6}: runs at 1/{:.1f} of untraced; a nested step takes {:.2f} s; {:.0f} accesses seen in a round trip; "
            "lost {} "
            "while stepping, {} in all; {:.1f} s to change over\n",
            nested::name_of(scope), untraced / traced, stepped.seconds, stepped.evidence, stepped.lost, history.lost,
            placing);
        std::fflush(stdout);
    }
    require(target->detach());
}
