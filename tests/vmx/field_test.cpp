#include "vmx/field.h"

#include <gtest/gtest.h>

#include <set>

namespace vmxscope::vmx {
namespace {

TEST(Field, EveryFieldIsFoundByEncodingAndByName) {
    for (std::size_t i = 0; i < kFieldCount; ++i) {
        const FieldInfo& info = all_fields()[i];
        EXPECT_EQ(index_of(info.field), i) << info.name;
        EXPECT_EQ(field_by_name(info.name), info.field);
        EXPECT_EQ(name_of(info.field), info.name);
    }
}

TEST(Field, NamesAreUnique) {
    std::set<std::string_view> names;
    for (const FieldInfo& info : all_fields()) EXPECT_TRUE(names.insert(info.name).second) << info.name;
}

TEST(Field, AnEncodingThatIsNotListedIsNotFound) {
    EXPECT_FALSE(index_of(static_cast<Field>(0x280b)));  // the high half of GUEST_PDPTR0
    EXPECT_FALSE(index_of(static_cast<Field>(0xffff)));
    EXPECT_EQ(name_of(static_cast<Field>(0x7ffe)), "?");
    EXPECT_FALSE(field_by_name("GUEST_PDPTR4"));
    EXPECT_FALSE(field_by_name(""));
}

TEST(Field, WidthComesFromTheEncoding) {
    EXPECT_EQ(width_of(Field::GUEST_CS_SELECTOR), Width::W16);
    EXPECT_EQ(width_of(Field::GUEST_PDPTR0), Width::W64);
    EXPECT_EQ(width_of(Field::VM_EXIT_REASON), Width::W32);
    EXPECT_EQ(width_of(Field::GUEST_CR3), Width::Natural);
    EXPECT_EQ(bytes_of(Field::GUEST_CS_SELECTOR), 2u);
    EXPECT_EQ(bytes_of(Field::GUEST_PDPTR0), 8u);
    EXPECT_EQ(bytes_of(Field::VM_EXIT_REASON), 4u);
    EXPECT_EQ(bytes_of(Field::GUEST_CR3), 8u);
}

TEST(Field, ThePdptrsHaveTheSdmsEncodings) {
    EXPECT_EQ(static_cast<unsigned>(Field::GUEST_PDPTR0), 0x280au);
    EXPECT_EQ(static_cast<unsigned>(Field::GUEST_PDPTR3), 0x2810u);
}

TEST(VmcsImage, BeginsUnreadAndKeepsUnreadApartFromZero) {
    VmcsImage image;
    EXPECT_FALSE(image.any_known());
    EXPECT_FALSE(image[Field::GUEST_CR3].known());
    image[Field::GUEST_CR3] = Value::of(0);
    EXPECT_TRUE(image.any_known());
    EXPECT_NE(image[Field::GUEST_CR3], Value{});
    EXPECT_NE(image, VmcsImage{});
}

}  // namespace
}  // namespace vmxscope::vmx
