// vmxscopectl import from outside, on the samples that the fuzzer begins with.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/transition_json.h"
#include "program.h"
#include "tests/text.h"

namespace vmxscope::test {
namespace {

using core::Json;

std::string sample(const std::string& name) {
    return std::string(SAMPLES) + "/" + name;
}

TEST(VmxscopectlImport, FieldsComeInGroupsWithTheirMeaning) {
    const Outcome o = run_vmxscopectl({"import", sample("kvm")});
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_TRUE(has(o.out, "KVM's dump_vmcs, from the kernel's log")) << o.out;
    EXPECT_TRUE(has(o.out, "vmcs01 or vmcs02  (VMCS 00000000f971be22, last attempted VM-entry on CPU 3)")) << o.out;
    EXPECT_TRUE(has(o.out, "INVALID_STATE (VM-entry failed)")) << o.out;
    EXPECT_TRUE(has(o.out, "PDPTEs could not be loaded")) << o.out;
    EXPECT_TRUE(has(o.out, "MSR 0x38f in a list"));
    EXPECT_FALSE(has(o.out, "\x1b")) << "colour is for terminals";
    EXPECT_LT(o.out.find("Guest state"), o.out.find("Host state"));
}

TEST(VmxscopectlImport, WhatMeansNothingIsMarkedWithTheReason) {
    const Outcome o = run_vmxscopectl({"import", sample("vmcs12"), "--fields", "VIRTUAL_PROCESSOR_ID|PDPTR"});
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_TRUE(has(o.out, "~ VIRTUAL_PROCESSOR_ID")) << o.out;
    EXPECT_TRUE(has(o.out, "VPID is off")) << o.out;
    EXPECT_TRUE(has(o.out, "page directory at 0x104000")) << o.out;
    EXPECT_FALSE(has(o.out, "~ GUEST_PDPTR0")) << o.out;
    EXPECT_FALSE(has(o.out, "GUEST_CR0"));
}

TEST(VmxscopectlImport, NestedStateHasItsHeader) {
    const Outcome o = run_vmxscopectl({"import", sample("nested-state-shadow"), "--json", "--fields", "CR0"});
    EXPECT_EQ(o.status, 0) << o.err;
    const Json json = Json::parse(o.out);
    EXPECT_EQ(json["nested"][0]["flags"], "GUEST_MODE");
    EXPECT_EQ(json["nested"][0]["vmcs12_pa"], "0x8000");
    ASSERT_EQ(json["vmcses"].size(), 2u);
    EXPECT_EQ(json["vmcses"][1]["role"], "shadow vmcs12");
    EXPECT_TRUE(has(run_vmxscopectl({"import", sample("nested-state")}).out,
                    "nested state: flags GUEST_MODE RUN_PENDING, VMXON region 0x7000, vmcs12 at 0x8000"));
}

TEST(VmxscopectlImport, TroubleIsASentenceWithARemedy) {
    const Outcome missing = run_vmxscopectl({"import", "/nonexistent/dump"});
    EXPECT_EQ(missing.status, 1);
    EXPECT_TRUE(has(missing.err, "/nonexistent/dump")) << missing.err;
    const Outcome empty = run_vmxscopectl({"import", "-"});
    EXPECT_EQ(empty.status, 1);
    EXPECT_TRUE(has(empty.err, "This is no VMCS dump")) << empty.err;
    EXPECT_TRUE(has(empty.err, "--format")) << empty.err;
    EXPECT_EQ(run_vmxscopectl({"import", sample("kvm"), "--fields", "("}).status, 1);
    EXPECT_EQ(run_vmxscopectl({"import"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"import", sample("kvm"), "--format", "elf"}).status, 2);
}

TEST(VmxscopectlImport, NothingInADumpSteersTheTerminal) {
    const std::string path = ::testing::TempDir() + "vmxscope-import-escape";
    std::ofstream(path) << "VMCS \x1b[31m\x07red\n*** Guest State ***\nCR3 = 0x1000\n";
    const Outcome o = run_vmxscopectl({"import", path});
    std::filesystem::remove(path);
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_TRUE(has(o.out, "VMCS ?[31m?red")) << o.out;
    EXPECT_FALSE(has(o.out, "\x1b") || has(o.out, "\x07"));
}

TEST(VmxscopectlImport, HelpHasExamples) {
    EXPECT_TRUE(has(run_vmxscopectl({"import", "--help"}).out, "Examples:\n  vmxscopectl import"));
}

}  // namespace
}  // namespace vmxscope::test
