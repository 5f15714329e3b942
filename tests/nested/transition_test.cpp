#include "nested/transition.h"

#include <gtest/gtest.h>

#include "nested/changes.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::Value;

TEST(Transition, EveryKindHasANameThatLeadsBackAndLevels) {
    for (int k = 0; k < 7; ++k) {
        const auto kind = static_cast<Kind>(k);
        EXPECT_EQ(kind_by_name(name_of(kind)), kind);
        EXPECT_EQ(levels_of(kind).size(), 6u);
    }
    EXPECT_EQ(name_of(Kind::NestedEntry), "nested-entry");
    EXPECT_EQ(levels_of(Kind::NestedEntry), "L1->L2");
    EXPECT_EQ(levels_of(Kind::NestedExit), "L2->L1");
    EXPECT_EQ(levels_of(Kind::L1Exit), "L1->L0");
    EXPECT_FALSE(kind_by_name("nested"));
    EXPECT_EQ(name_of(static_cast<Kind>(99)), "?");
}

TEST(Changes, AFieldChangedWhenBothValuesAreKnownAndDiffer) {
    Transition t;
    t.vmcs12_before[Field::GUEST_CR3] = Value::of(1);
    t.vmcs12_after[Field::GUEST_CR3] = Value::of(2);
    t.vmcs02_before[Field::GUEST_CR3] = t.vmcs02_after[Field::GUEST_CR3] = Value::of(1);
    t.vmcs02_before[Field::GUEST_RIP] = Value::of(5);
    t.vmcs02_after[Field::GUEST_RIP] = Value::of(6);
    const auto changes = changed_fields(t);
    ASSERT_EQ(changes.size(), 2u);
    EXPECT_EQ(changes[0].field, Field::GUEST_CR3);
    EXPECT_TRUE(changes[0].in_vmcs12 && !changes[0].in_vmcs02);
    EXPECT_EQ(changes[1].field, Field::GUEST_RIP);
    EXPECT_TRUE(!changes[1].in_vmcs12 && changes[1].in_vmcs02);
}

TEST(Changes, WhatWasNotReadHasNotChanged) {
    Transition t;
    t.vmcs12_after[Field::GUEST_CR3] = Value::of(2);
    t.vmcs02_before[Field::GUEST_CR3] = Value::of(2);
    t.vmcs02_after[Field::GUEST_CR3] = Value::faulted();
    EXPECT_TRUE(changed_fields(t).empty());
}

}  // namespace
}  // namespace vmxscope::nested
