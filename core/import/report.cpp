#include "core/import/report.h"

#include <fmt/format.h>

#include "vmx/decode/details.h"
#include "vmx/meaning.h"

namespace vmxscope::core {
namespace {

using vmx::Field;
using vmx::Group;

std::string hex(std::uint64_t n) {
    return fmt::format("{:#x}", n);
}

/// Labels and names come from a file that anybody may have written: nothing of them may steer the terminal.
std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    return out;
}

std::string dim(Style style, const std::string& text) {
    return style == Style::Colour ? "\x1b[2m" + text + "\x1b[0m" : text;
}

std::string bold(Style style, const std::string& text) {
    return style == Style::Colour ? "\x1b[1m" + text + "\x1b[0m" : text;
}

std::string field_line(const vmx::VmcsImage& image, Field field, Style style) {
    const std::string value = value_text(image[field]);
    if (const auto why = vmx::meaningless(field, image))
        return dim(style, fmt::format("  ~ {:<32} {:<20} {}", vmx::name_of(field), value, *why)) + "\n";
    const std::string says = image[field].known() ? vmx::describe(field, image[field].bits, image) : "";
    const std::string line = fmt::format("    {:<32} {:<20} {}", vmx::name_of(field), value, says);
    return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

/// The group's fields among `fields` that the image has, under a heading; nothing when there are none.
std::string group_text(const vmx::VmcsImage& image, Group group, const std::vector<Field>& fields, Style style) {
    std::string lines;
    for (const Field f : fields)
        if (image[f].known() && vmx::all_fields()[*vmx::index_of(f)].group == group)
            lines += field_line(image, f, style);
    return lines.empty() ? lines : "  " + bold(style, std::string(vmx::name_of(group))) + "\n" + lines;
}

std::string vmcs_text(const ImportedVmcs& vmcs, const std::vector<Field>& fields, Style style) {
    std::string text = bold(style, std::string(name_of(vmcs.role)));
    if (!vmcs.label.empty()) text += "  (" + printable(vmcs.label) + ")";
    text += "\n";
    constexpr Group kGroups[] = {Group::GuestState,   Group::HostState,     Group::ExecutionControls,
                                 Group::ExitControls, Group::EntryControls, Group::ExitInformation};
    for (const Group group : kGroups) text += group_text(vmcs.image, group, fields, style);
    if (!vmcs.others.empty()) text += "  " + bold(style, "No field that is known here") + "\n";
    for (const ImportedVmcs::Other& o : vmcs.others)
        text += fmt::format("    {:<32} {}\n", printable(o.name), printable(o.value));
    return text;
}

std::string nested_text(const NestedStateHeader& h) {
    const auto address = [](std::uint64_t pa) { return pa == ~0ULL ? std::string("none") : hex(pa); };
    const std::string flags = nested_flags_text(h.flags), smm = nested_smm_flags_text(h.smm_flags);
    return fmt::format("nested state: flags {}, VMXON region {}, vmcs12 at {}{}{}\n", flags.empty() ? "none" : flags,
                       address(h.vmxon_pa), address(h.vmcs12_pa), smm.empty() ? "" : ", in SMM: " + smm,
                       h.preemption_timer_deadline
                           ? fmt::format(", preemption timer until TSC {:#x}", *h.preemption_timer_deadline)
                           : "");
}

Json field_json(const vmx::VmcsImage& image, Field field) {
    const auto why = vmx::meaningless(field, image);
    return {{"field", vmx::name_of(field)},
            {"group", vmx::name_of(vmx::all_fields()[*vmx::index_of(field)].group)},
            {"value", value_text(image[field])},
            {"meaning", image[field].known() ? vmx::describe(field, image[field].bits, image) : ""},
            {"meaningless", why ? Json(*why) : Json(nullptr)}};
}

Json vmcs_json(const ImportedVmcs& vmcs, const std::vector<Field>& fields) {
    Json list = Json::array(), others = Json::array();
    for (const Field f : fields)
        if (vmcs.image[f].known()) list.push_back(field_json(vmcs.image, f));
    for (const ImportedVmcs::Other& o : vmcs.others) others.push_back({{"name", o.name}, {"value", o.value}});
    return {{"role", name_of(vmcs.role)}, {"label", vmcs.label}, {"fields", list}, {"others", others}};
}

Json nested_json(const NestedStateHeader& h) {
    return {{"flags", nested_flags_text(h.flags)},
            {"vmxon_pa", h.vmxon_pa == ~0ULL ? Json(nullptr) : Json(hex(h.vmxon_pa))},
            {"vmcs12_pa", h.vmcs12_pa == ~0ULL ? Json(nullptr) : Json(hex(h.vmcs12_pa))},
            {"smm_flags", nested_smm_flags_text(h.smm_flags)},
            {"preemption_timer_deadline",
             h.preemption_timer_deadline ? Json(hex(*h.preemption_timer_deadline)) : Json(nullptr)}};
}

}  // namespace

Result<std::string> imported_text(const Imported& imported, std::string_view pattern, Style style) {
    const auto fields = matching_fields(pattern);
    if (!fields) return tl::unexpected(fields.error());
    std::string text = fmt::format("{}\n", description_of(imported.format));
    for (const NestedStateHeader& h : imported.nested) text += nested_text(h);
    for (const ImportedVmcs& vmcs : imported.vmcses) text += "\n" + vmcs_text(vmcs, *fields, style);
    for (const std::string& warning : imported.warnings) text += fmt::format("\nwarning: {}", printable(warning));
    if (!imported.warnings.empty()) text += "\n";
    return text + "\n~ = the value means nothing\n";
}

Result<Json> imported_json(const Imported& imported, std::string_view pattern) {
    const auto fields = matching_fields(pattern);
    if (!fields) return tl::unexpected(fields.error());
    Json vmcses = Json::array(), nested = Json::array();
    for (const ImportedVmcs& vmcs : imported.vmcses) vmcses.push_back(vmcs_json(vmcs, *fields));
    for (const NestedStateHeader& h : imported.nested) nested.push_back(nested_json(h));
    return Json{{"format", name_of(imported.format)},
                {"description", description_of(imported.format)},
                {"vmcses", vmcses},
                {"nested", nested},
                {"warnings", imported.warnings}};
}

}  // namespace vmxscope::core
