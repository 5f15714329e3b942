#include "core/transition_json.h"

#include <gtest/gtest.h>

namespace vmxscope::core {
namespace {

using nested::Evidence;
using nested::Kind;
using vmx::Field;
using vmx::Value;

nested::Transition entry() {
    nested::Transition t;
    t.seq = t.vmcs02_as_of = 3;
    t.kind = Kind::NestedEntry;
    t.status = 0;
    t.context.enable_ept = t.context.nested_ept = t.context.pae = t.context.dirty_vmcs12 = t.context.from_vmentry =
        true;
    t.context.evmcs = false;
    t.vmcs12_after[Field::GUEST_PDPTR0] = Value::of(0x103001);
    t.vmcs02_before[Field::GUEST_CR3] = Value::of(1);
    t.vmcs02_after[Field::GUEST_CR3] = Value::of(2);
    t.evidence.push_back({Evidence::Op::Vmwrite, 0x280a, Value::of(0x103001), "prepare_vmcs02_rare.constprop.0+0x4a0"});
    return t;
}

TEST(TransitionJson, AnEntryIsAsDocumented) {
    const Json j = to_json(entry());
    EXPECT_EQ(j["seq"], 3);
    EXPECT_EQ(j["kind"], "nested-entry");
    EXPECT_EQ(j["levels"], "L1->L2");
    EXPECT_TRUE(j["exit_reason"].is_null());
    EXPECT_EQ(j["context"]["dirty_vmcs12"], true);
    EXPECT_EQ(j["context"]["evmcs"], false);
    EXPECT_TRUE(j["context"]["vmx_fail"].is_null());
    EXPECT_EQ(j["pdptr"]["by_rule"], "copied");
    EXPECT_EQ(j["pdptr"]["evidence"][0]["op"], "vmwrite");
    EXPECT_EQ(j["pdptr"]["evidence"][0]["field"], "GUEST_PDPTR0");
    EXPECT_EQ(j["pdptr"]["evidence"][0]["value"], "0x103001");
    EXPECT_EQ(j["pdptr"]["values"]["vmcs12"][0], "0x103001");
    EXPECT_EQ(j["changed"].size(), 1u);
    EXPECT_EQ(j["changed"][0]["field"], "GUEST_CR3");
    EXPECT_EQ(j["changed"][0]["vmcs02"], "0x2");
    EXPECT_EQ(j["changed"][0]["vmcs02_was"], "0x1");
    EXPECT_FALSE(j["changed"][0].contains("vmcs12_was"));
}

TEST(TransitionJson, UnknownIsNotZero) {
    nested::Transition t = entry();
    t.vmcs12_after[Field::GUEST_PDPTR1] = Value::of(0);
    t.vmcs12_after[Field::GUEST_PDPTR2] = Value::faulted();
    t.vmcs12_after[Field::GUEST_PDPTR3] = Value::unsupported();
    const Json j = to_json(t);
    const Json& in12 = j["pdptr"]["values"]["vmcs12"];
    EXPECT_EQ(in12[1], "0x0");
    EXPECT_EQ(in12[2], "faulted");
    EXPECT_EQ(in12[3], "unsupported");
    EXPECT_EQ(j["pdptr"]["values"]["vmcs02"][0], "not-read");
}

TEST(TransitionJson, AnExitHasItsReasonByNumberAndName) {
    nested::Transition t;
    t.kind = Kind::L2Exit;
    t.exit.reason = Value::of(10);
    const Json j = to_json(t);
    EXPECT_EQ(j["exit_reason"]["number"], 10);
    EXPECT_EQ(j["exit_reason"]["name"], "CPUID");
    EXPECT_EQ(j["exit_reason"]["entry_failed"], false);
    EXPECT_TRUE(j["pdptr"].is_null());
}

TEST(TransitionJson, ALineIsOneLineWhateverTheTextsHold) {
    nested::Transition t = entry();
    t.notes = {"two\nlines", "not \xff UTF-8"};
    t.evidence[0].at = "\x1b[2J";
    const std::string line = to_line(to_json(t));
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
    EXPECT_TRUE(Json::accept(line));
}

}  // namespace
}  // namespace vmxscope::core
