// vmxscopectl check, from outside.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/transition_json.h"
#include "entry_check_images.h"
#include "nested/vmcs12.h"
#include "program.h"
#include "scripted_target.h"
#include "tests/text.h"
#include "vmx/entry_check.h"

namespace vmxscope::test {
namespace {

using core::Json;
using core::test::RunningServer;
using core::test::Script;
using vmx::Field;

constexpr const char* kCpu = "bochs-corei7-skylake-x";

std::string read_file(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// A vmcs12 page of the image, as KVM keeps it.
std::string vmcs12_page(const vmx::VmcsImage& image) {
    std::string page(nested::kVmcs12RegionSize, '\0');
    std::memcpy(page.data(), &nested::kVmcs12Revision, sizeof nested::kVmcs12Revision);
    for (const nested::Vmcs12Field& f : nested::vmcs12_fields())
        std::memcpy(page.data() + f.offset, &image[f.field].bits, vmx::bytes_of(f.field));
    return page;
}

class Check : public ::testing::Test {
  protected:
    Check() { write(vmcs12_page(vmx::test::long_mode_image())); }
    ~Check() override { core::test::remove_folder(folder_); }
    void write(const std::string& bytes) { std::ofstream(file(), std::ios::binary) << bytes; }
    std::string file() const { return folder_ + "/vmcs12.bin"; }

    std::string folder_ = core::test::make_folder();
};

TEST_F(Check, AGoodVmcs12IsEntered) {
    const Outcome o = run_vmxscopectl({"check", file(), "--cpu", kCpu});
    EXPECT_EQ(o.status, 0) << o.out << o.err;
    EXPECT_TRUE(has(o.out, "The VM-entry succeeds: every rule holds.")) << o.out;
    EXPECT_TRUE(has(o.out, " 0 broken, 0 undecided.")) << o.out;
}

TEST_F(Check, WhatIfSaysWhichRuleAndWhatTheProcessorAnswers) {
    const Outcome o = run_vmxscopectl(
        {"check", file(), "--cpu", kCpu, "--set", "GUEST_RFLAGS=0", "--set", "guest_cr3=0x8000000000000000"});
    EXPECT_EQ(o.status, 1) << o.err;
    EXPECT_TRUE(has(o.out, "The VM-entry fails: VM-exit, reason 33")) << o.out;
    EXPECT_LT(o.out.find("guest.cr3.width"), o.out.find("guest.rflags.bit-1")) << o.out;
    EXPECT_TRUE(has(o.out, "1 more rule is broken:")) << o.out;
    EXPECT_TRUE(has(o.out, "GUEST_RFLAGS is 0x0")) << o.out;
}

TEST_F(Check, JsonHasTheSame) {
    const Outcome o = run_vmxscopectl({"check", file(), "--cpu", kCpu, "--json", "--set", "HOST_CS_SELECTOR=0"});
    EXPECT_EQ(o.status, 1) << o.err;
    const Json json = Json::parse(o.out);
    EXPECT_EQ(json["enters"], false);
    EXPECT_EQ(json["first"]["id"], "host.cs.null");
    EXPECT_EQ(json["first"]["answer"], "vmfail-host");
    EXPECT_EQ(json["failed"].size(), 1u);
    EXPECT_TRUE(has(json["vmcs"].get<std::string>(), "vmcs12")) << o.out;
}

TEST_F(Check, WithoutAProcessorWhatDependsOnItIsUndecided) {
    const Outcome o = run_vmxscopectl({"check", file()});
    EXPECT_EQ(o.status, 0) << o.out;
    EXPECT_TRUE(has(o.out, "No rule is broken, as far as is known.")) << o.out;
    EXPECT_TRUE(has(o.out, "is not known")) << o.out;
    EXPECT_TRUE(has(o.err, "--cpu")) << o.err;
    const Outcome json = run_vmxscopectl({"check", file(), "--json"});
    EXPECT_TRUE(Json::parse(json.out)["enters"].is_null()) << json.out;
}

TEST_F(Check, MistakesAreStatus2WithAWayOut) {
    const Outcome field = run_vmxscopectl({"check", file(), "--set", "GUEST_CR_0=1"});
    EXPECT_EQ(field.status, 2);
    EXPECT_TRUE(has(field.err, "Is GUEST_CR0 meant?")) << field.err;
    const Outcome wide = run_vmxscopectl({"check", file(), "--set", "GUEST_CS_SELECTOR=0x10000"});
    EXPECT_EQ(wide.status, 2);
    EXPECT_TRUE(has(wide.err, "16 bits")) << wide.err;
    EXPECT_EQ(run_vmxscopectl({"check", file(), "--set", "GUEST_CR0"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"check", file(), "--set", "GUEST_CR0=zero"}).status, 2);
    const Outcome cpu = run_vmxscopectl({"check", file(), "--cpu", "i386"});
    EXPECT_EQ(cpu.status, 2);
    EXPECT_TRUE(has(cpu.err, kCpu)) << cpu.err;
    EXPECT_EQ(run_vmxscopectl({"check"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"check", file(), "--number", "2"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"check", folder_ + "/none"}).status, 2);
    write("no VMCS");
    EXPECT_EQ(run_vmxscopectl({"check", file()}).status, 2);
}

TEST_F(Check, AProcessorMayComeFromAFile) {
    const std::string path = folder_ + "/mine.json";
    std::ofstream(path) << R"({"maxphyaddr": 36, "linear_bits": 48, "msrs": {"IA32_VMX_BASIC": "0x0"}})";
    const Outcome o = run_vmxscopectl({"check", file(), "--cpu", path, "--set", "GUEST_CR3=0x1000000000"});
    EXPECT_EQ(o.status, 0) << "CR4_FIXED1 tells whether CR3 has LAM bits" << o.out;
    std::ofstream(path)
        << R"({"maxphyaddr": 36, "linear_bits": 48, "msrs": {"IA32_VMX_CR4_FIXED0": "0x0", "IA32_VMX_CR4_FIXED1": "0xffff"}})";
    const Outcome narrow = run_vmxscopectl({"check", file(), "--cpu", path, "--set", "GUEST_CR3=0x1000000000"});
    EXPECT_EQ(narrow.status, 1);
    EXPECT_TRUE(has(narrow.out, "guest.cr3.width")) << narrow.out;
    std::ofstream(path) << R"({"maxphyaddr": 36, "linear_bits": 48, "msrs": {"IA32_VMX_BASICS": "0x0"}})";
    const Outcome wrong = run_vmxscopectl({"check", file(), "--cpu", path});
    EXPECT_EQ(wrong.status, 2);
    EXPECT_TRUE(has(wrong.err, "IA32_VMX_BASICS")) << wrong.err;
}

TEST_F(Check, ATargetsLastNestedTransitionIsChecked) {
    auto script = std::make_shared<Script>();
    script->kinds = {nested::Kind::L1Exit, nested::Kind::NestedEntry, nested::Kind::L2Entry};
    RunningServer server(script);
    const Outcome o = run_vmxscopectl({"check", server.endpoint().text(), "--set", "GUEST_RFLAGS=0", "--json"});
    EXPECT_EQ(o.status, 1) << o.err;
    const Json json = Json::parse(o.out);
    EXPECT_EQ(json["first"]["id"], "guest.rflags.bit-1");
    EXPECT_EQ(json["vmcs"], "vmcs12 of transition #2 (nested-entry, vCPU 0)");
}

TEST_F(Check, ATargetsVmcs12IsHeldAgainstL1sCapabilitiesAndVmcs02AgainstL0s) {
    auto script = std::make_shared<Script>();
    script->kinds = {nested::Kind::NestedEntry};
    RunningServer server(script);
    const std::string change = "VM_ENTRY_CONTROLS=0x400011fb";  // bit 30: L1's MSR forbids it, L0's is not known
    const Outcome vmcs12 = run_vmxscopectl({"check", server.endpoint().text(), "--set", change, "--json"});
    EXPECT_EQ(vmcs12.status, 1) << vmcs12.err;
    EXPECT_EQ(Json::parse(vmcs12.out)["first"]["id"], "control.entry.allowed");
    const Outcome vmcs02 = run_vmxscopectl({"check", server.endpoint().text(), "--set", change, "--json", "--vmcs02"});
    EXPECT_EQ(vmcs02.status, 0) << vmcs02.err << vmcs02.out;
    EXPECT_TRUE(has(Json::parse(vmcs02.out)["vmcs"].get<std::string>(), "vmcs02")) << vmcs02.out;
}

TEST(CheckList, HasEveryRuleOnALine) {
    const Outcome o = run_vmxscopectl({"check", "--list"});
    EXPECT_EQ(o.status, 0);
    EXPECT_EQ(static_cast<std::size_t>(std::count(o.out.begin(), o.out.end(), '\n')), vmx::entry_rules().size());
    EXPECT_TRUE(o.out.starts_with("control.pin.required ")) << o.out;
}

TEST(CheckList, TheDocumentIsWhatTheProgramPrints) {
    const Outcome o = run_vmxscopectl({"check", "--list", "--markdown"});
    EXPECT_EQ(o.status, 0);
    EXPECT_EQ(o.out, read_file(ENTRY_CHECKS_DOCUMENT))
        << "write it again: vmxscopectl check --list --markdown > docs/entry-checks.md";
}

}  // namespace
}  // namespace vmxscope::test
