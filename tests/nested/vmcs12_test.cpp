#include "nested/vmcs12.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace vmxscope::nested {
namespace {

using vmx::Field;

struct ReferenceField {
    std::string name, width;
    unsigned encoding = 0;
    std::size_t offset = 0;
};

/// The 141 fields as read off KVM 6.1's vmcs12.h and vmcs12.c, independently of this project's tables.
std::vector<ReferenceField> reference() {
    std::ifstream csv(VMCS12_FIELDS_CSV);
    std::vector<ReferenceField> fields;
    std::string line;
    std::getline(csv, line);  // the column names
    while (std::getline(csv, line)) {
        std::istringstream cells(line);
        ReferenceField f;
        std::string encoding, offset;
        std::getline(cells, f.name, ',');
        std::getline(cells, encoding, ',');
        std::getline(cells, offset, ',');
        std::getline(cells, f.width, ',');
        f.encoding = static_cast<unsigned>(std::stoul(encoding, nullptr, 16));
        f.offset = std::stoul(offset);
        fields.push_back(f);
    }
    return fields;
}

TEST(Vmcs12, HasEveryFieldOfTheReferenceAtItsPlace) {
    const auto fields = reference();
    ASSERT_EQ(fields.size(), 141u);
    for (const ReferenceField& f : fields) {
        const auto field = vmx::field_by_name(f.name);
        ASSERT_TRUE(field) << f.name;
        EXPECT_EQ(static_cast<unsigned>(*field), f.encoding) << f.name;
        EXPECT_EQ(vmcs12_offset(*field), f.offset) << f.name;
        const vmx::Width width = f.width == "16"   ? vmx::Width::W16
                                 : f.width == "32" ? vmx::Width::W32
                                 : f.width == "64" ? vmx::Width::W64
                                                   : vmx::Width::Natural;
        EXPECT_EQ(vmx::width_of(*field), width) << f.name;
    }
    EXPECT_EQ(vmcs12_fields().size(), fields.size());
}

TEST(Vmcs12, LacksTheFieldsThatOnlyVmcs02Has) {
    for (const Field f : {Field::PLE_GAP, Field::PLE_WINDOW, Field::NOTIFY_WINDOW, Field::TERTIARY_VM_EXEC_CONTROL,
                          Field::PID_POINTER_TABLE, Field::LAST_PID_POINTER_INDEX, Field::GUEST_IA32_RTIT_CTL,
                          Field::CR3_TARGET_VALUE0, Field::CR3_TARGET_VALUE3})
        EXPECT_FALSE(vmcs12_offset(f)) << vmx::name_of(f);
}

/// Every byte of every field tells where it is: bytes 0, 1, 2, … (mod 251).
std::array<std::byte, kVmcs12RegionSize> numbered_region() {
    std::array<std::byte, kVmcs12RegionSize> region;
    for (std::size_t i = 0; i < region.size(); ++i) region[i] = static_cast<std::byte>(i % 251);
    return region;
}

TEST(Vmcs12, AnImageHoldsTheLittleEndianBytesOfEachField) {
    const auto region = numbered_region();
    const vmx::VmcsImage image = vmcs12_image(region);
    for (const ReferenceField& f : reference()) {
        const Field field = *vmx::field_by_name(f.name);
        std::uint64_t expected = 0;
        for (unsigned i = 0; i < vmx::bytes_of(field); ++i)
            expected |= static_cast<std::uint64_t>((f.offset + i) % 251) << (8 * i);
        EXPECT_EQ(image[field], vmx::Value::of(expected)) << f.name;
    }
    EXPECT_EQ(image[Field::PLE_GAP], vmx::Value::unsupported());
}

TEST(Vmcs12, WhatIsPastTheEndOfAShortRegionIsNotRead) {
    const auto region = numbered_region();
    for (std::size_t size = 0; size <= sizeof(Vmcs12); ++size) {
        const vmx::VmcsImage image = vmcs12_image(std::span(region).first(size));
        for (const Vmcs12Field& f : vmcs12_fields()) {
            const bool inside = f.offset + vmx::bytes_of(f.field) <= size;
            ASSERT_EQ(image[f.field].state, inside ? vmx::Known::Yes : vmx::Known::NotRead)
                << vmx::name_of(f.field) << " of " << size << " bytes";
        }
        ASSERT_EQ(image[Field::PLE_WINDOW], vmx::Value::unsupported());
    }
}

TEST(Vmcs12, TheHeaderIsRevisionAbortAndLaunchState) {
    std::array<std::byte, 12> region{};
    region[0] = std::byte{0xd0};
    region[1] = std::byte{0x7e};
    region[2] = std::byte{0xe5};
    region[3] = std::byte{0x11};
    region[8] = std::byte{1};
    const Vmcs12Header header = vmcs12_header(region);
    EXPECT_EQ(header.revision, vmx::Value::of(kVmcs12Revision));
    EXPECT_EQ(header.abort, vmx::Value::of(0));
    EXPECT_EQ(header.launch_state, vmx::Value::of(1));
    EXPECT_FALSE(vmcs12_header(std::span(region).first(11)).launch_state.known());
}

}  // namespace
}  // namespace vmxscope::nested
