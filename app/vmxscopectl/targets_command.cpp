#include "app/vmxscopectl/targets_command.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "core/target_watcher.h"
#include "core/transition_json.h"

namespace vmxscope::app {
namespace {

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmxscopectl targets\n"
    "  vmxscopectl targets --watch\n"
    "  vmxscopectl targets --json | jq -r 'select(.available).uri'";

using Targets = std::vector<core::TargetName>;

nlohmann::json object_of(const core::TargetName& t) {
    return {{"uri", t.uri}, {"summary", t.summary}, {"available", t.available}, {"why_not", t.why_not}};
}

std::string as_json(const Targets& targets) {
    std::string text;
    for (const core::TargetName& t : targets) text += core::to_line(object_of(t)) + "\n";
    return text;
}

std::string as_table(const Targets& targets) {
    if (targets.empty())
        return "There is nothing to attach to: no nested guest runs here, no agent listens, and no lab is installed.\n";
    std::size_t width = 0;
    for (const core::TargetName& t : targets) width = std::max(width, t.uri.size());
    std::string text;
    for (const core::TargetName& t : targets) {
        text += fmt::format("{:<{}}  {}\n", t.uri, width, t.summary);
        if (!t.available) text += fmt::format("{:<{}}  not available: {}\n", "", width, t.why_not);
    }
    return text;
}

/// What became of a target since the list before.
struct Change {
    std::string_view sign, word;
};
constexpr Change kAdded{"+", "added"}, kRemoved{"-", "removed"}, kChanged{"~", "changed"};

std::string line_of(const Change& change, const core::TargetName& t, bool json) {
    if (json) {
        auto object = object_of(t);
        object["change"] = change.word;
        return core::to_line(object) + "\n";
    }
    std::string line = fmt::format("{} {}  {}\n", change.sign, t.uri, t.summary);
    if (!t.available && &change != &kRemoved) line += fmt::format("    not available: {}\n", t.why_not);
    return line;
}

std::string differences(const Targets& before, const Targets& now, bool json) {
    const auto find = [](const Targets& in, const std::string& uri) {
        return std::find_if(in.begin(), in.end(), [&](const core::TargetName& t) { return t.uri == uri; });
    };
    std::string text;
    for (const core::TargetName& t : before)
        if (find(now, t.uri) == now.end()) text += line_of(kRemoved, t, json);
    for (const core::TargetName& t : now) {
        const auto old = find(before, t.uri);
        if (old == before.end()) text += line_of(kAdded, t, json);
        else if (*old != t) text += line_of(kChanged, t, json);
    }
    return text;
}

/// Until Ctrl-C.
int follow(const core::Backends& backends, bool json) {
    Targets before;
    const core::TargetWatcher watcher(backends, [&](const Targets& now) {
        say(differences(before, now, json));
        std::fflush(stdout);
        before = now;
    });
    while (!interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return kDone;
}

}  // namespace

void add_targets_command(CLI::App& app, const core::Backends& backends, Run& run) {
    auto json = std::make_shared<bool>(false);
    CLI::App* command = app.add_subcommand("targets", "List what could be attached to");
    command->add_flag("--json", *json, "One JSON object a line");
    auto watch = std::make_shared<bool>(false);
    command->add_flag("--watch", *watch, "Go on and print what comes (+), goes (-) and changes (~), until Ctrl-C");
    command->footer(std::string(kExamples));
    command->callback([json, watch, &backends, &run] {
        run = [json, watch, &backends] {
            if (*watch) return follow(backends, *json);
            const auto targets = backends.list();
            say(*json ? as_json(targets) : as_table(targets));
            return static_cast<int>(kDone);
        };
    });
}

}  // namespace vmxscope::app
