// What a plugin is: one family or more of targets, built in or in a shared object of its own (docs/plugins.md).
//
//     static void make(std::vector<std::unique_ptr<core::Backend>>& all) { all.push_back(my_backend()); }
//     VMXSCOPE_PLUGIN = {.name = "mine", .version = "1.0", .schemes = "mine", .abilities = {...}, .make_backends = make};
//
// A plugin is compiled against the headers of the program that loads it and finds the program's own functions there: it is
// not linked to them, so that there is one copy.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/target.h"

namespace vmxscope::core {

/// Grows with each change of what a plugin and the program say to each other: Plugin, Backend, Target and what they take.
inline constexpr std::uint32_t kPluginAbi = 1;

/// A change that was made without kPluginAbi growing is noticed where it changed the size of something, or what targets can do.
constexpr std::uint32_t plugin_layout() {
    std::uint32_t sum = 0;
    for (const std::size_t part : {sizeof(nested::Transition), sizeof(TargetInfo), sizeof(Stop), sizeof(Action), sizeof(Vcpu),
                                   sizeof(RecordSettings), sizeof(TargetCapabilities), sizeof(Write), sizeof(TargetName),
                                   sizeof(Error), std::size_t{vmx::kFieldCount}, kAbilities})
        sum = sum * 31 + static_cast<std::uint32_t>(part);
    return sum;
}

struct Plugin {
    std::uint32_t abi = kPluginAbi;            // looked at first, and alone: where it differs, nothing else means anything
    std::uint32_t layout = plugin_layout();
    const char* name = nullptr;                // "libvirt"
    const char* version = nullptr;             // of the plugin, for people
    const char* schemes = nullptr;             // of the targets that it knows, with spaces between them: "tcp unix"
    Abilities abilities;                       // that its targets may have; each says by itself which it has
    void (*make_backends)(std::vector<std::unique_ptr<Backend>>& all) = nullptr;  // one for each scheme
};

}  // namespace vmxscope::core

/// The one name that a plugin exports.
#define VMXSCOPE_PLUGIN extern "C" __attribute__((visibility("default"))) const ::vmxscope::core::Plugin vmxscope_plugin
