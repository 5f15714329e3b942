#include "plugins/kvm/symbols.h"

#include <gtest/gtest.h>

#include <random>

namespace vmxscope::kvm {
namespace {

constexpr const char* kText =
    "ffffffff81000000 T _stext\n"
    "ffffffffc0a3bec0 t vmx_vcpu_run\t[kvm_intel]\n"
    "ffffffffc0a3b000 t vmx_switch_vmcs\t[kvm_intel]\n"
    "ffffffffc0a3b000 T also_vmx_switch_vmcs\t[kvm_intel]\n"
    "ffffffffc0a3b400 t kvm_vcpu_ioctl\t[kvm]\n"
    "ffffffffc0a3c000 t prepare_vmcs02_rare.constprop.0.cold\t[kvm_intel]\n"
    "ffffffffc0a3c100 t prepare_vmcs02_rare.constprop.0\t[kvm_intel]\n"
    "ffffffffc0a3c200 t vmx_only_cold.cold\t[kvm_intel]\n"
    "ffffffffc0a3c280 d enable_ept\t[kvm_intel]\n"
    "ffffffffc0a3c300 t nested_vmx_vmexit\t[kvm_intel]\n"
    "ffffffffc0a3c380 r __param_ept\t[kvm_intel]\n";

Symbols parsed() {
    auto s = Symbols::parse(kText, "kvm_intel");
    if (!s) {
        ADD_FAILURE() << s.error().text();
        return {};
    }
    return *s;
}

TEST(Symbols, OnlyTheModulesFunctionsAreKeptByAddress) {
    const Symbols s = parsed();
    ASSERT_EQ(s.functions().size(), 7u);
    for (std::size_t i = 1; i < s.functions().size(); ++i) EXPECT_LE(s.functions()[i - 1].address, s.functions()[i].address);
    EXPECT_FALSE(s.find("_stext"));
    EXPECT_FALSE(s.find("kvm_vcpu_ioctl"));
    EXPECT_FALSE(s.find("enable_ept"));
    ASSERT_TRUE(s.find("vmx_vcpu_run"));
    EXPECT_EQ(s.find("vmx_vcpu_run")->address, 0xffffffffc0a3bec0);
}

TEST(Symbols, ATracepointIsTheModulesStructOfThatName) {
    const auto kvm = Symbols::parse(std::string(kText) + "ffffffffc0b00000 d __tracepoint_kvm_exit\t[kvm]\n"
                                                         "ffffffffc0b00100 d __tracepoint_other\t[kvm_intel]\n", "kvm");
    ASSERT_TRUE(kvm);
    EXPECT_EQ(kvm->tracepoint("kvm_exit"), 0xffffffffc0b00000);
    EXPECT_EQ(kvm->tracepoint("kvm"), std::nullopt);
    EXPECT_EQ(kvm->tracepoint("other"), std::nullopt);
}

TEST(Symbols, AnotherModulesNameThatBeginsAlikeIsNotTheModule) {
    const auto s = Symbols::parse(kText, "kvm");
    ASSERT_TRUE(s);
    ASSERT_EQ(s->functions().size(), 1u);
    EXPECT_EQ(s->functions()[0].name, "kvm_vcpu_ioctl");
}

TEST(Symbols, AFunctionEndsAtTheModulesNextSymbolOfAnyKind) {
    const Symbols s = parsed();
    EXPECT_EQ(s.find("vmx_vcpu_run")->size, 0xffffffffc0a3c000 - 0xffffffffc0a3bec0);
    EXPECT_EQ(s.find("vmx_only_cold.cold")->size, 0x80u);
    EXPECT_EQ(s.find("nested_vmx_vmexit")->size, 0x80u);
}

TEST(Symbols, TwoNamesOfOneFunctionHaveOneSize) {
    const Symbols s = parsed();
    EXPECT_EQ(s.find("vmx_switch_vmcs")->size, 0xec0u);
    EXPECT_EQ(s.find("also_vmx_switch_vmcs")->size, 0xec0u);
}

TEST(Symbols, TheCompilersCopyIsFoundButNotItsColdPart) {
    const Symbols s = parsed();
    EXPECT_FALSE(s.find("prepare_vmcs02_rare"));
    ASSERT_TRUE(s.find_with_suffix("prepare_vmcs02_rare"));
    EXPECT_EQ(s.find_with_suffix("prepare_vmcs02_rare")->name, "prepare_vmcs02_rare.constprop.0");
    EXPECT_FALSE(s.find_with_suffix("vmx_only_cold"));
    EXPECT_FALSE(s.find_with_suffix("prepare_vmcs02"));
    EXPECT_EQ(s.find_with_suffix("vmx_vcpu_run"), s.find("vmx_vcpu_run"));
}

TEST(Symbols, AnAddressLeadsToTheFunctionThatHoldsIt) {
    const Symbols s = parsed();
    EXPECT_EQ(s.at(0xffffffffc0a3bec0), s.find("vmx_vcpu_run"));
    EXPECT_EQ(s.at(0xffffffffc0a3bfff), s.find("vmx_vcpu_run"));
    EXPECT_FALSE(s.at(0xffffffffc0a3afff));
    EXPECT_FALSE(s.at(0xffffffffc0a3c280)) << "data after the function's end";
    EXPECT_FALSE(s.at(~0ull));
}

TEST(Symbols, HiddenAddressesAreAnErrorThatNamesRoot) {
    const auto s = Symbols::parse("0000000000000000 t vmx_vcpu_run\t[kvm_intel]\n", "kvm_intel");
    ASSERT_FALSE(s);
    EXPECT_NE(s.error().what.find("hides"), std::string::npos) << s.error().what;
    EXPECT_NE(s.error().remedy.find("root"), std::string::npos) << s.error().remedy;
}

TEST(Symbols, HiddenAddressesOfOthersAreNot) {
    EXPECT_TRUE(Symbols::parse("0000000000000000 A fixed_percpu_data\n" + std::string(kText), "kvm_intel"));
}

TEST(Symbols, AMissingModuleIsAnErrorThatSaysHowToLoadIt) {
    for (const char* text : {"", "ffffffff81000000 T _stext\n", "ffffffffc0a3c280 d enable_ept\t[kvm_amd]\n"}) {
        const auto s = Symbols::parse(text, "kvm_intel");
        ASSERT_FALSE(s);
        EXPECT_NE(s.error().what.find("kvm_intel"), std::string::npos);
        EXPECT_NE(s.error().remedy.find("modprobe kvm_intel"), std::string::npos);
    }
}

TEST(Symbols, GarbageLinesArePassedBy) {
    const std::string text =
        "\n \nzzzz t a\t[kvm_intel]\nffffffffc0a3b000\nffffffffc0a3b000 \nffffffffc0a3b000 t\nffffffffc0a3b000 t \n"
        "fffffffffffffffff t too_long_an_address\t[kvm_intel]\nffffffffc0a3b000 tt two_letters\t[kvm_intel]\n"
        "ffffffffc0a3b000 t unclosed\t[kvm_intel\nffffffffc0a3b000 t backwards\t]kvm_intel[\n" +
        std::string(kText) + "ffffffffc0a3d000 t no_newline\t[kvm_intel]";
    const auto s = Symbols::parse(text, "kvm_intel");
    ASSERT_TRUE(s);
    EXPECT_EQ(s->functions().size(), 8u);
    EXPECT_TRUE(s->find("no_newline"));
    EXPECT_EQ(s->find("no_newline")->size, 0u) << "nothing follows that says where it ends";
}

TEST(Symbols, TextWithRandomDamageIsSurvived) {
    std::mt19937 random(2);
    for (int round = 0; round < 500; ++round) {
        std::string text = kText;
        for (int n = 0; n < 8; ++n) text[random() % text.size()] = static_cast<char>(random());
        text.resize(random() % (text.size() + 1));
        const auto s = Symbols::parse(text, "kvm_intel");
        if (!s) continue;
        for (const Function& f : s->functions()) EXPECT_FALSE(f.name.empty());
    }
}

TEST(KernelMemory, AnAddressThatIsNotTheKernelsIsAnError) {
    const auto memory = KernelMemory::open();
    if (!memory) {
        EXPECT_FALSE(memory.error().remedy.empty()) << "not root, or a kernel without /proc/kcore";
        return;
    }
    EXPECT_FALSE(memory->read(0x1000, 16));
    EXPECT_FALSE(memory->read(~0ull - 3, 16));
}

}  // namespace
}  // namespace vmxscope::kvm
