#include "app/vmxscopectl/targets_command.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "core/transition_json.h"

namespace vmxscope::app {
namespace {

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmxscopectl targets\n"
    "  vmxscopectl targets --json | jq -r 'select(.available).uri'";

std::string as_json(const std::vector<core::TargetName>& targets) {
    std::string text;
    for (const core::TargetName& t : targets)
        text += core::to_line(
                    {{"uri", t.uri}, {"summary", t.summary}, {"available", t.available}, {"why_not", t.why_not}}) +
                "\n";
    return text;
}

std::string as_table(const std::vector<core::TargetName>& targets) {
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

}  // namespace

void add_targets_command(CLI::App& app, const core::Backends& backends, Run& run) {
    auto json = std::make_shared<bool>(false);
    CLI::App* command = app.add_subcommand("targets", "List what could be attached to");
    command->add_flag("--json", *json, "One JSON object a line");
    command->footer(std::string(kExamples));
    command->callback([json, &backends, &run] {
        run = [json, &backends] {
            const auto targets = backends.list();
            say(*json ? as_json(targets) : as_table(targets));
            return kDone;
        };
    });
}

}  // namespace vmxscope::app
