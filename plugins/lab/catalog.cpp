#include "plugins/lab/catalog.h"

#include <string>

namespace vmxscope::lab {
namespace {

constexpr CatalogEntry kCatalog[] = {
    {"pae-ept", 1, "nested EPT, L2 in 32-bit PAE paging: the PDPTRs are copied, or skipped when vmcs12 is not dirty"},
    {"pae-shadow", 1, "no nested EPT, L2 in 32-bit PAE paging: the PDPTRs come from L1's memory"},
    {"long-ept", 1, "nested EPT, L2 in 64-bit mode: the PDPTRs are written and not used"},
    {"legacy-ept", 1, "nested EPT, L2 in 32-bit paging without PAE: the PDPTRs are written and not used"},
    {"pae-toggle", 1, "nested EPT, L2 turns PAE on and off while L1 rewrites the PDPTRs"},
    {"pae-ept-smp", 2, "pae-ept on two vCPUs, each with a vmcs12 of its own, on two emulated processors"},
    {"broken-entries", 1, "VM-entries that break one rule each, and what KVM and the processor answer"},
};

}  // namespace

std::span<const CatalogEntry> catalog() {
    return kCatalog;
}

const CatalogEntry* find_lab(std::string_view name) {
    for (const CatalogEntry& entry : kCatalog)
        if (entry.name == name) return &entry;
    return nullptr;
}

std::string_view catalog_names() {
    static const std::string names = [] {
        std::string text;
        for (const CatalogEntry& entry : kCatalog) text += (text.empty() ? "" : ", ") + std::string(entry.name);
        return text;
    }();
    return names;
}

}  // namespace vmxscope::lab
