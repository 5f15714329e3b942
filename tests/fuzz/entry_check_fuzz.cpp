// The bytes become a VMCS, a processor and a list of MSRs: nine bytes for each field and each capability MSR, of which
// the first says whether the value is known; what is left are entries of the MSR-load area.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "core/entry_report.h"
#include "vmx/entry_check.h"

namespace {

using namespace vmxscope;

/// The next bytes of the input; zeros behind its end.
class Input {
  public:
    explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
    template <typename T>
    T take() {
        T value{};
        const std::size_t n = bytes_.size() < sizeof(T) ? bytes_.size() : sizeof(T);
        std::memcpy(&value, bytes_.data(), n);
        bytes_ = bytes_.subspan(n);
        return value;
    }
    vmx::Value take_value() {
        const auto state = static_cast<vmx::Known>(take<std::uint8_t>() & 3);
        const auto bits = take<std::uint64_t>();
        return state == vmx::Known::Yes ? vmx::Value::of(bits) : vmx::Value{0, state};
    }
    bool empty() const { return bytes_.empty(); }

  private:
    std::span<const std::uint8_t> bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input({data, size});
    core::CheckedEntry entry;
    entry.capabilities.maxphyaddr = input.take<std::uint8_t>();
    entry.capabilities.linear_bits = input.take<std::uint8_t>();
    for (vmx::Value& msr : entry.capabilities.msrs) msr = input.take_value();
    for (const vmx::FieldInfo& info : vmx::all_fields()) entry.image[info.field] = input.take_value();
    entry.msrs_read = !input.empty();
    while (!input.empty()) entry.msrs.push_back(input.take<vmx::MsrEntry>());
    const vmx::EntryCheck check = entry.check();
    if (check.failed() + check.undecided() > vmx::entry_rules().size()) std::abort();
    if (check.first().has_value() != (check.failed() != 0)) std::abort();
    (void)core::entry_check_text(entry);
    (void)core::entry_check_json(entry);
    return 0;
}
