#include "nested/vmcs12.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::Value;

#define VMCS12_FIELD(name, member, where)                                                     \
    static_assert(offsetof(Vmcs12, member) == (where), #member " is not where KVM keeps it"); \
    static_assert(sizeof(Vmcs12::member) == vmx::bytes_of(Field::name), #member " has the wrong width");
#include "nested/vmcs12.def"
#undef VMCS12_FIELD

constexpr Vmcs12Field kFields[] = {
#define VMCS12_FIELD(name, member, where) {Field::name, where},
#include "nested/vmcs12.def"
#undef VMCS12_FIELD
};
static_assert(std::size(kFields) == 141);

/// The little-endian integer of `size` bytes at `offset`, or NotRead when the region ends before it does.
Value load(std::span<const std::byte> region, std::size_t offset, std::size_t size) {
    if (region.size() < offset + size) return {};
    std::uint64_t bits = 0;
    std::memcpy(&bits, region.data() + offset, size);
    return Value::of(bits);
}

}  // namespace

std::span<const Vmcs12Field> vmcs12_fields() {
    return kFields;
}

std::optional<std::size_t> vmcs12_offset(Field field) {
    const auto* found = std::find_if(std::begin(kFields), std::end(kFields),
                                     [field](const Vmcs12Field& f) { return f.field == field; });
    if (found == std::end(kFields)) return std::nullopt;
    return found->offset;
}

vmx::VmcsImage vmcs12_image(std::span<const std::byte> region) {
    vmx::VmcsImage image;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) image.at_index(i) = Value::unsupported();
    for (const Vmcs12Field& f : kFields) image[f.field] = load(region, f.offset, vmx::bytes_of(f.field));
    return image;
}

Vmcs12Header vmcs12_header(std::span<const std::byte> region) {
    const auto word = [region](std::size_t offset) { return load(region, offset, sizeof(std::uint32_t)); };
    return {word(offsetof(Vmcs12, revision_id)), word(offsetof(Vmcs12, abort)), word(offsetof(Vmcs12, launch_state))};
}

}  // namespace vmxscope::nested
