// The labs there are: the one table of their names.
#pragma once

#include <span>
#include <string_view>

namespace vmxscope::lab {

struct CatalogEntry {
    std::string_view name;  // also its guest's image: NAME.elf
    unsigned cpus;          // emulated processors, and vCPUs of the guest
    std::string_view summary;
};

std::span<const CatalogEntry> catalog();
const CatalogEntry* find_lab(std::string_view name);  // null = none of that name
/// "pae-ept, pae-shadow, …"
std::string_view catalog_names();

}  // namespace vmxscope::lab
