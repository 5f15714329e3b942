// Domains as libvirt describes them, and whether they can have guests of their own.
#include "plugins/libvirt/domain_xml.h"

#include <gtest/gtest.h>

#include "plugins/libvirt/nesting.h"

namespace vmxscope::libvirt {
namespace {

using Can = Nesting::Can;

constexpr HostFacts kNesting{.local = true, .kvm_intel = true, .nested = true};
constexpr HostFacts kFlat{.local = true, .kvm_intel = true, .nested = false};
constexpr HostFacts kNoIntel{.local = true, .kvm_intel = false, .nested = {}};
constexpr HostFacts kAway{.local = false, .kvm_intel = false, .nested = {}};

// What `virsh dumpxml` prints of a running TCG domain, without most devices.
constexpr std::string_view kTcg = R"(<domain type='qemu' id='1'>
  <name>spin</name>
  <uuid>ec974dac-b5ee-4c47-813c-7604d061472a</uuid>
  <memory unit='KiB'>16384</memory>
  <vcpu placement='static'>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <boot dev='fd'/>
  </os>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>qemu64</model>
    <feature policy='require' name='hypervisor'/>
    <feature policy='require' name='lahf_lm'/>
  </cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <memballoon model='none'/>
  </devices>
</domain>)";

/// A KVM domain with that <cpu>, and more.
std::string kvm_domain(std::string_view cpu, std::string_view more = "") {
    std::string text =
        "<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>l1</name>"
        "<uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid><vcpu placement='static' current='2'>4</vcpu>"
        "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>";
    text += cpu;
    text += more;
    return text + "</domain>";
}

Nesting nesting(std::string_view cpu, const HostFacts& host, std::string_view more = "") {
    const auto facts = parse_domain(kvm_domain(cpu, more));
    EXPECT_TRUE(facts);
    return nesting_of(*facts, host);
}

constexpr std::string_view kPassthrough = "<cpu mode='host-passthrough' check='none' migratable='on'/>";
// host-model of a running domain is written out.
constexpr std::string_view kHostModel = R"(<cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>Skylake-Client-IBRS</model>
    <vendor>Intel</vendor>
    <feature policy='require' name='ss'/>
    <feature policy='require' name='vmx'/>
    <feature policy='require' name='hypervisor'/>
    <feature policy='disable' name='mpx'/>
  </cpu>)";
constexpr std::string_view kRefused = R"(<cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>Skylake-Client</model>
    <feature policy='disable' name='vmx'/>
    <feature policy='disable' name='vme'/>
    <feature policy='require' name='hypervisor'/>
  </cpu>)";
constexpr std::string_view kPlain =
    "<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>Westmere</model></cpu>";

TEST(DomainXml, OfATcgDomain) {
    const auto facts = parse_domain(kTcg);
    ASSERT_TRUE(facts) << facts.error().text();
    EXPECT_EQ(facts->name, "spin");
    EXPECT_EQ(facts->uuid, "ec974dac-b5ee-4c47-813c-7604d061472a");
    EXPECT_EQ(facts->type, "qemu");
    EXPECT_EQ(facts->arch, "x86_64");
    EXPECT_EQ(facts->vcpus, 2U);
    EXPECT_EQ(facts->cpu_mode, "custom");
    EXPECT_EQ(facts->cpu_model, "qemu64");
    EXPECT_TRUE(facts->vmx.empty());
    EXPECT_FALSE(facts->marked);
    EXPECT_EQ(nesting_of(*facts, kNesting).can, Can::No);
    EXPECT_NE(nesting_of(*facts, kNesting).why.find("TCG"), std::string::npos);
}

TEST(DomainXml, VcpusThatAreThereNowCount) {
    EXPECT_EQ(parse_domain(kvm_domain(kPassthrough))->vcpus, 2U);
}

TEST(DomainXml, AMarkIsKnownByItsNamespaceWhateverItsPrefix) {
    const auto marked = [](std::string_view metadata) { return parse_domain(kvm_domain("", metadata))->marked; };
    EXPECT_TRUE(
        marked("<metadata><vmxscope:stub xmlns:vmxscope='https://vmxscope.org/xmlns/stub/1' pid='7'/></metadata>"));
    EXPECT_TRUE(marked("<metadata><stub xmlns='https://vmxscope.org/xmlns/stub/1'/></metadata>"));
    EXPECT_FALSE(marked("<metadata><vmxscope:stub xmlns:vmxscope='https://example.org/' pid='7'/></metadata>"));
    EXPECT_FALSE(marked("<metadata/>"));
}

TEST(DomainXml, WhatIsNoDomainIsAnError) {
    for (const std::string& text :
         {std::string(), std::string("<domain"), std::string("<network><name>n</name></network>"),
          std::string("<domain type='kvm'/>"), std::string("\xff\xfe\x00 binary", 10), std::string(kMostXml + 1, ' ')})
        EXPECT_FALSE(parse_domain(text)) << text.substr(0, 60);
}

TEST(DomainXml, DepthAndNumbersDoNoHarm) {
    std::string deep = "<domain><name>n</name>";
    for (int i = 0; i < 100'000; ++i) deep += "<a>";
    (void)parse_domain(deep);
    EXPECT_EQ(parse_domain("<domain><name>n</name><vcpu>99999999999999999999</vcpu></domain>")->vcpus, 0U);
    EXPECT_EQ(parse_domain("<domain><name>n</name><vcpu>-1</vcpu></domain>")->vcpus, 0U);
}

TEST(Nesting, WithTheHostsProcessorItIsTheHostsModuleThatDecides) {
    EXPECT_EQ(nesting(kPassthrough, kNesting).can, Can::Yes);
    EXPECT_EQ(nesting(kHostModel, kNesting).can, Can::Yes);
    EXPECT_EQ(nesting("<cpu mode='maximum' check='none'/>", kNesting).can, Can::Yes);
    EXPECT_EQ(nesting("<cpu mode='host-model'/>", kNesting).can, Can::Yes) << "of one that does not run yet";
    EXPECT_EQ(nesting(kPassthrough, kFlat).can, Can::No);
    EXPECT_NE(nesting(kPassthrough, kFlat).why.find("nested=0"), std::string::npos);
    EXPECT_EQ(nesting(kPassthrough, kNoIntel).can, Can::No);
    EXPECT_EQ(nesting(kPassthrough, kAway).can, Can::Unknown);
}

TEST(Nesting, WithoutVmxInItsProcessorNoHostHelps) {
    for (const HostFacts& host : {kNesting, kFlat, kNoIntel, kAway}) {
        EXPECT_EQ(nesting(kRefused, host).can, Can::No);
        EXPECT_EQ(nesting(kPlain, host).can, Can::No);
        EXPECT_EQ(nesting("", host).can, Can::No);
    }
    EXPECT_NE(nesting(kRefused, kNesting).why.find("disable"), std::string::npos);
    EXPECT_NE(nesting(kPlain, kNesting).why.find("Westmere"), std::string::npos);
    EXPECT_NE(nesting("<cpu mode='custom'><model>EPYC</model><feature policy='require' name='svm'/></cpu>", kNesting)
                  .why.find("SVM"),
              std::string::npos);
}

TEST(Nesting, ACpuGivenByHandIsNotKnown) {
    const std::string_view by_hand =
        "<qemu:commandline><qemu:arg value='-cpu'/><qemu:arg value='host,+vmx'/></qemu:commandline>";
    EXPECT_EQ(nesting(kPlain, kNesting, by_hand).can, Can::Unknown);
    EXPECT_EQ(nesting(kPlain, kFlat, by_hand).can, Can::No);
}

TEST(Nesting, OnlyKvmOnX86Counts) {
    const auto of = [](const char* type, const char* arch) {
        DomainFacts facts;
        facts.type = type;
        facts.arch = arch;
        facts.cpu_mode = "host-passthrough";
        return nesting_of(facts, kNesting).can;
    };
    EXPECT_EQ(of("kvm", "x86_64"), Can::Yes);
    EXPECT_EQ(of("kvm", "aarch64"), Can::No);
    EXPECT_EQ(of("xen", "x86_64"), Can::No);
    EXPECT_EQ(of("test", "i686"), Can::No);
}

}  // namespace
}  // namespace vmxscope::libvirt
