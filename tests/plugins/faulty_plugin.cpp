// A plugin with one fault, or none: what a test wants is a macro.
#include <stdexcept>

#include "core/plugin.h"

namespace {

using namespace vmxscope;

class Nothing final : public core::Backend {
  public:
    std::string_view scheme() const override { return "mine"; }
    std::vector<core::TargetName> list() override { return {{"mine:1", "nothing", true, {}}}; }
    core::Result<std::unique_ptr<core::Target>> attach(std::string_view, const core::Progress&) override {
        return core::fail("There is nothing to attach to.");
    }
};

[[maybe_unused]] void make(std::vector<std::unique_ptr<core::Backend>>& all) {
#ifdef FAULT_THROWS
    throw std::runtime_error("a plugin's trouble");
#endif
    all.push_back(std::make_unique<Nothing>());
}

}  // namespace

#if defined(FAULT_ABI)
// A plugin of another time: nothing but its first word can be relied on.
extern "C" const std::uint32_t vmxscope_plugin[] = {core::kPluginAbi + 1};
#else
VMXSCOPE_PLUGIN = {
#ifdef FAULT_LAYOUT
    .layout = core::plugin_layout() + 1,
#endif
#ifndef FAULT_NAMELESS
    .name = "faulty",
#endif
    .version = "1",
#ifdef FAULT_OTHER_SCHEME
    .schemes = "mine yours",
#else
    .schemes = "mine",
#endif
    .abilities = {core::Ability::Transitions},
    .make_backends = make,
};
#endif
