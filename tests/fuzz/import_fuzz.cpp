// The bytes are a dump that somebody sent: of the format that they seem to be of, and of each that they may be said to
// be.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/import/import.h"
#include "core/import/report.h"

namespace {

using namespace vmxscope::core;

void read(std::span<const std::byte> bytes, std::optional<DumpFormat> format) {
    const auto imported = import_bytes(bytes, format);
    if (!imported) return;
    if (imported->vmcses.empty() || imported->vmcses.size() > kMostVmcses) std::abort();
    if (!imported_text(*imported, "") || !imported_json(*imported, "")) std::abort();
    (void)to_line(*imported_json(*imported, "pdptr|cr"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    read(bytes, std::nullopt);
    for (const DumpFormat format :
         {DumpFormat::KvmLog, DumpFormat::Vmcs12Page, DumpFormat::NestedState, DumpFormat::QemuMigration})
        read(bytes, format);
    return 0;
}
