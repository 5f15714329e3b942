// Looking into pae-ept while it is held: every VMREAD and VMWRITE, its memory, L0's EPT for it, its capabilities.
#include <elf.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "vmx/decode/bitmaps.h"
#include "walk.h"

using namespace vmxscope;
using core::Space;
using e2e::Judged;
using e2e::Walk;
using lab::running_lab;
using lab::sh;
using nested::Evidence;
using nested::EvidenceScope;
using nested::Kind;
using vmx::Field;

namespace {

constexpr std::uint64_t kDemandAddress = 0x1800000;  // plugins/lab/guests/layout.h
constexpr std::size_t kSteps = 200;

std::uint64_t known(const vmx::VmcsImage& image, Field f) {
    EXPECT_TRUE(image[f].known()) << vmx::name_of(f);
    return image[f].bits;
}

std::uint64_t qword(const std::vector<std::byte>& bytes, std::size_t at) {
    std::uint64_t v = 0;
    std::memcpy(&v, bytes.data() + at, sizeof v);
    return v;
}

/// Steps until a transition of `kind` that `wanted` holds for.
template <typename Wanted>
nested::Transition walk_to(Walk& walk, Kind kind, Wanted wanted) {
    const auto step = kind == Kind::NestedEntry ? core::StepKind::Entry : core::StepKind::Exit;
    for (std::size_t i = 0; i < 200; ++i) {
        auto t = walk.at(walk.go({{std::nullopt, step}}).seq);
        if (t.kind == kind && wanted(t)) return t;
    }
    ADD_FAILURE() << "not seen in 200 steps";
    return {};
}
nested::Transition walk_to(Walk& walk, Kind kind) {
    return walk_to(walk, kind, [](const auto&) { return true; });
}

template <typename T>
T value(core::Result<T> r) {
    EXPECT_TRUE(r) << (r ? "" : r.error().text());
    return r ? std::move(*r) : T{};
}

/// The bytes of the guest's ELF that are loaded at a physical address, up to `size` of them.
std::vector<std::byte> elf_bytes(std::uint64_t physical, std::size_t size) {
    std::ifstream in(VMXSCOPE_GUEST, std::ios::binary);
    const std::string file{std::istreambuf_iterator<char>(in), {}};
    Elf64_Ehdr header;
    std::memcpy(&header, file.data(), sizeof header);
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr p;
        std::memcpy(&p, file.data() + header.e_phoff + i * sizeof p, sizeof p);
        if (p.p_type != PT_LOAD || physical < p.p_paddr || physical - p.p_paddr + size > p.p_filesz) continue;
        const auto* from = reinterpret_cast<const std::byte*>(file.data()) + p.p_offset + (physical - p.p_paddr);
        return {from, from + size};
    }
    ADD_FAILURE() << "the guest's image has nothing at " << std::hex << physical;
    return {};
}

}  // namespace

TEST(Looking, Vmcs12sPdptesAreThoseInL2sMemory) {
    Walk walk(running_lab("pae-ept"));
    const auto t = walk_to(walk, Kind::NestedEntry);
    const std::uint64_t table = known(t.vmcs02_after, Field::GUEST_CR3);
    for (const Space space : {Space::L2Physical, Space::L1Physical}) {  // EPT12 maps one to one
        const auto bytes = value(walk.target().read_memory(0, space, table, 32));
        ASSERT_EQ(bytes.size(), 32u);
        for (unsigned i = 0; i < 4; ++i)
            EXPECT_EQ(qword(bytes, 8 * i),
                      known(t.vmcs12_after, static_cast<Field>(static_cast<unsigned>(Field::GUEST_PDPTR0) + 2 * i)));
    }
}

TEST(Looking, L2sCodeIsThatOfTheGuestsImage) {
    Walk walk(running_lab("pae-ept"));
    const auto t = walk_to(walk, Kind::NestedEntry);
    const std::uint64_t rip = known(t.vmcs02_after, Field::GUEST_RIP);
    EXPECT_EQ(value(walk.target().read_memory(0, Space::L2Linear, rip, 16)), elf_bytes(rip, 16)) << std::hex << rip;
    EXPECT_FALSE(walk.target().read_memory(0, Space::L2Linear, 0x80000000 - 4096, 8192))
        << "what is not mapped is no memory";
}

TEST(Looking, L1sCodeIsThatOfTheGuestsImageWhoeverRuns) {
    Walk walk(running_lab("pae-ept"));
    const auto exit = walk_to(walk, Kind::NestedExit);
    const std::uint64_t handler = known(exit.vmcs12_after, Field::HOST_RIP);
    EXPECT_EQ(value(walk.target().read_memory(0, Space::L1Linear, handler, 16)), elf_bytes(handler, 16));
    walk_to(walk, Kind::NestedEntry);
    EXPECT_EQ(value(walk.target().read_memory(0, Space::L1Linear, handler, 16)), elf_bytes(handler, 16));
}

TEST(Looking, L0sEptMapsTheDemandPageOnceL0HasHandledItsViolation) {
    Walk walk(running_lab("pae-ept"));
    // L1's EPT maps the page; then L2 touches it again, and L0 maps it in its own, without L1.
    std::vector<vmx::WalkStep> steps;
    nested::Transition t;
    for (int i = 0; i < 2000 && (steps.empty() || !(steps.back().entry & 7)); ++i) {
        t = walk.at(walk.go({{std::nullopt, core::StepKind::Transition}}).seq);
        const bool violation = t.kind == Kind::L2Exit && t.exit.reason.bits == 48 &&
                               t.exit.guest_physical.bits >> 21 == kDemandAddress >> 21;
        if (!violation) continue;
        // Held before L2 runs on, or before L1 does: then there is no walk.
        if (auto walked = walk.target().ept02_walk(0, t.exit.guest_physical.bits)) steps = std::move(*walked);
    }
    ASSERT_GE(steps.size(), 3u);
    EXPECT_EQ(steps[0].address & ~0xfffull, known(t.vmcs02_after, Field::EPT_POINTER) & ~0xfffull);
    for (std::size_t i = 0; i + 1 < steps.size(); ++i)
        EXPECT_EQ(steps[i].entry & 0xffffffffff000, steps[i + 1].address & ~0xfffull);
    const vmx::WalkStep leaf = steps.back();
    EXPECT_NE(leaf.entry & 1, 0u) << "readable";
    EXPECT_TRUE(leaf.level == 1 || (leaf.level == 2 && (leaf.entry >> 7 & 1))) << leaf.level;
    const std::uint64_t index = t.exit.guest_physical.bits >> (12 + 9 * (leaf.level - 1)) & 511;
    EXPECT_EQ((leaf.address & 0xfff) / 8, index);
    walk_to(walk, Kind::NestedExit);
    EXPECT_FALSE(walk.target().ept02_walk(0, kDemandAddress)) << "L1 is about to run: vmcs02's tables may be anything";
}

TEST(Looking, L1IsOfferedNoMoreThanTheProcessorHas) {
    Walk walk(running_lab("pae-ept"));
    walk_to(walk, Kind::NestedEntry);
    const auto c = value(walk.target().capabilities());
    for (const auto msr : {vmx::CapabilityMsr::TruePinbasedCtls, vmx::CapabilityMsr::TrueProcbasedCtls,
                           vmx::CapabilityMsr::ProcbasedCtls2}) {
        ASSERT_TRUE(c.l0[msr].known() && c.l1[msr].known()) << vmx::name_of(msr);
        EXPECT_EQ((c.l1[msr].bits & ~c.l0[msr].bits) >> 32, 0u) << vmx::name_of(msr) << ": allowed-1 bits";
    }
    EXPECT_EQ(c.l1.maxphyaddr, c.l0.maxphyaddr) << "QEMU's -cpu host";
}

TEST(Looking, L0LetsL1HaveItsSegmentBasesAndNotItsVmx) {
    using Which = core::Target::HardwareVmcs;
    Walk walk(running_lab("pae-ept"));
    walk_to(walk, Kind::NestedEntry);
    const auto page = value(walk.target().msr_bitmap(0, Which::Vmcs01));
    ASSERT_EQ(page.size(), vmx::kBitmapPage);
    const vmx::BitmapPage bitmap(page.data(), vmx::kBitmapPage);
    for (const std::uint32_t base : {0xc0000100u, 0xc0000101u, 0xc0000102u})  // vmx_create_vcpu
        EXPECT_EQ(vmx::intercepts_msr(bitmap, base, vmx::MsrAccess::Write), false) << base;
    EXPECT_EQ(vmx::intercepts_msr(bitmap, 0x480, vmx::MsrAccess::Read), true);
    const auto merged = walk.target().msr_bitmap(0, Which::Vmcs02);
    ASSERT_FALSE(merged) << "L1 uses none, so KVM merges none";
    EXPECT_NE(merged.error().what.find("uses no MSR bitmap"), std::string::npos) << merged.error().what;
    walk_to(walk, Kind::NestedExit);
    EXPECT_FALSE(walk.target().msr_bitmap(0, Which::Vmcs01)) << "L1 is about to run";
}

// Last: it changes what is watched.
TEST(Looking, EveryAccessIsSeenAndNoneLost) {
    Walk walk(running_lab("pae-ept"));
    const auto set = walk.target().set_evidence(EvidenceScope::All);
    ASSERT_TRUE(set) << set.error().text();
    walk.nested(4);
    std::size_t entries = 0, exits = 0;
    for (const Judged& j : walk.nested(kSteps)) {
        const nested::Transition& t = j.transition;
        EXPECT_EQ(t.evidence_scope, EvidenceScope::All);
        EXPECT_EQ(t.lost_before, 0u) << j;
        EXPECT_TRUE(t.notes.empty()) << t.notes[0];
        // Whatever was last written to a field of vmcs02 on the way in is what it then holds.
        if (t.kind != Kind::NestedEntry) {
            ++exits;
            continue;
        }
        ++entries;
        EXPECT_TRUE(t.vmcs01[Field::GUEST_CR3].known() && t.vmcs01[Field::TSC_OFFSET].known());
        std::map<std::uint16_t, const Evidence*> last;
        for (const Evidence& e : t.evidence)
            if (e.vmcs02 && e.op == Evidence::Op::Vmwrite) last[e.encoding] = &e;
        EXPECT_GT(last.size(), 4u);
        for (const auto& [encoding, e] : last)
            if (const auto field = static_cast<Field>(encoding); vmx::index_of(field)) {
                const unsigned bits = 8 * vmx::bytes_of(field);  // VMWRITE takes no more of the register
                const std::uint64_t written = bits < 64 ? e->value.bits & ((1ull << bits) - 1) : e->value.bits;
                EXPECT_EQ(t.vmcs02_after[field], vmx::Value::of(written)) << vmx::name_of(field) << " by " << e->at;
            }
    }
    EXPECT_GT(entries, kSteps / 3);
    EXPECT_GT(exits, kSteps / 3);
}
