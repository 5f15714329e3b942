#include "app/vmxscopectl/plugins_command.h"

#include <memory>

#include <fmt/format.h>

#include "core/transition_json.h"

namespace vmxscope::app {
namespace {

constexpr std::string_view kExamples =
    "A plugin brings targets of its own kind (docs/plugins.md). They are looked for in the folders of VMXSCOPE_PLUGIN_PATH and\n"
    "in this program's own.\n"
    "\n"
    "Examples:\n"
    "  vmxscopectl plugins\n"
    "  VMXSCOPE_PLUGIN_PATH=~/plugins vmxscopectl plugins --json";

std::vector<std::string> names_of(core::Abilities abilities) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < core::kAbilities; ++i)
        if (abilities.has(static_cast<core::Ability>(i))) names.emplace_back(name_of(static_cast<core::Ability>(i)));
    return names;
}

std::string as_json(const core::Plugins& plugins) {
    std::string text;
    for (const core::LoadedPlugin& p : plugins.loaded())
        text += core::to_line({{"name", p.name},
                               {"version", p.version},
                               {"origin", p.origin.empty() ? "built in" : p.origin},
                               {"schemes", p.schemes},
                               {"abilities", names_of(p.abilities)},
                               {"loaded", true}}) +
                "\n";
    for (const core::RefusedPlugin& p : plugins.refused())
        text += core::to_line({{"origin", p.path}, {"loaded", false}, {"why_not", p.why}}) + "\n";
    return text;
}

std::string as_text(const core::Plugins& plugins) {
    std::string text;
    for (const core::LoadedPlugin& p : plugins.loaded())
        text += fmt::format("{:<8} {:<8} {}\n         {}: {}\n", p.name, p.version,
                            p.origin.empty() ? "built in" : p.origin, fmt::join(p.schemes, ":, "), fmt::join(names_of(p.abilities), ", "));
    for (const core::RefusedPlugin& p : plugins.refused()) text += fmt::format("refused  {}\n         {}\n", p.path, p.why);
    return text;
}

}  // namespace

void add_plugins_command(CLI::App& app, const core::Plugins& plugins, Run& run) {
    auto json = std::make_shared<bool>(false);
    CLI::App* command = app.add_subcommand("plugins", "List the plugins, what they can do, and those that were refused");
    command->add_flag("--json", *json, "One JSON object a line");
    command->footer(std::string(kExamples));
    command->callback([json, &plugins, &run] {
        run = [json, &plugins] {
            say(*json ? as_json(plugins) : as_text(plugins));
            return kDone;
        };
    });
}

}  // namespace vmxscope::app
