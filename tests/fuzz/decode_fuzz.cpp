// The bytes are values of VMCS fields, and then memory for walks: every decoder says something of every value.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "vmx/bits.h"
#include "vmx/decode/bitmaps.h"
#include "vmx/decode/details.h"
#include "vmx/meaning.h"
#include "vmx/paging.h"

namespace {

using namespace vmxscope::vmx;

class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    std::uint64_t next() {
        std::uint64_t value = 0;
        const std::size_t n = std::min(size_, sizeof value);
        if (n) std::memcpy(&value, data_, n);
        data_ += n;
        size_ -= n;
        return value;
    }
    bool empty() const { return size_ == 0; }

  private:
    const std::uint8_t* data_;
    std::size_t size_;
};

void decode_all(const VmcsImage& image, const Capabilities& caps) {
    for (const FieldInfo& f : all_fields()) {
        const std::uint64_t value = image[f.field].bits;
        (void)describe(f.field, value);
        (void)describe(f.field, value, image);
        (void)details(f.field, value, &image, &caps);
        (void)meaningless(f.field, image);
    }
    for (std::size_t i = 0; i < caps.msrs.size(); ++i)
        (void)details(static_cast<CapabilityMsr>(0x480 + i), caps.msrs[i].bits);
}

void walk_all(Input& input) {
    const auto root = input.next(), address = input.next();
    const LinearMode mode{.cr0 = input.next(), .cr3 = input.next(), .cr4 = input.next(), .efer = input.next()};
    const unsigned width = static_cast<unsigned>(input.next() % 64);
    const ReadQword read = [&input](std::uint64_t) -> std::optional<std::uint64_t> {
        if (input.empty()) return std::nullopt;
        return input.next();
    };
    if (walk_ept(root, address, width, read).steps.size() > 5) std::abort();
    if (walk_linear(mode, address, width, read).steps.size() > 5) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<std::byte> page(kBitmapPage);
    if (size) std::memcpy(page.data(), data, std::min(size, page.size()));
    const BitmapPage bitmap(page.data(), kBitmapPage);
    for (const BitmapRange& range : intercepted_msrs(bitmap, MsrAccess::Read)) (void)describe_msrs(range);
    (void)intercepted_ports(bitmap, bitmap);

    Input input(data, size);
    VmcsImage image;
    Capabilities caps;
    walk_all(input);
    for (Value& msr : caps.msrs) msr = Value::of(input.next());
    for (std::size_t i = 0; i < kFieldCount; ++i)
        if (!input.empty()) image.at_index(i) = Value::of(input.next());
    decode_all(image, caps);
    return 0;
}
