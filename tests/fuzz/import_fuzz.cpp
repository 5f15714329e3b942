// The bytes are a dump that somebody sent: of the format that they seem to be of, and of each that they may be said to
// be.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/import/import.h"
#include "core/import/report.h"

namespace {

using namespace vmxscope::core;

std::optional<Imported> read(std::span<const std::byte> bytes, std::optional<DumpFormat> format) {
    auto imported = import_bytes(bytes, format);
    if (!imported) return std::nullopt;
    if (imported->vmcses.empty() || imported->vmcses.size() > kMostVmcses) std::abort();
    return std::move(*imported);
}

void render(const Imported& imported) {
    if (!imported_text(imported, "")) std::abort();
    const auto json = imported_json(imported, "");
    if (!json || to_line(*json).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    if (const auto imported = read(bytes, std::nullopt)) render(*imported);
    for (const DumpFormat format :
         {DumpFormat::KvmLog, DumpFormat::Vmcs12Page, DumpFormat::NestedState, DumpFormat::QemuMigration})
        (void)read(bytes, format);
    return 0;
}
