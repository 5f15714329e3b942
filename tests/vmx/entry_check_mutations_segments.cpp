#include "entry_check_images.h"
#include "entry_check_mutations.h"
#include "vmx/controls.h"

namespace vmxscope::vmx::test {
namespace {

using enum Field;
using namespace access_rights;
using Changes = std::vector<Change>;

constexpr const char* kNames[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
enum : unsigned { kEs, kCs, kSs, kDs, kFs, kGs, kLdtr, kTr };

Field nth(Field es, unsigned n) {
    return static_cast<Field>(static_cast<unsigned>(es) + 2 * n);
}
Field rights(unsigned n) {
    return nth(GUEST_ES_AR_BYTES, n);
}
std::string id(unsigned n, const char* what) {
    return std::string("guest.") + kNames[n] + "." + what;
}
/// The register's access rights in the image, changed. LDTR, unusable there, becomes a usable LDT first.
Change rights_with(unsigned n, std::uint64_t set, std::uint64_t clear = 0) {
    if (n == kLdtr) return {rights(n), (0x82 | set) & ~clear};
    return {rights(n), with(long_mode_image, rights(n), set, clear)};
}

/// What each of CS, SS, DS, ES, FS and GS is checked for.
void add_code_and_data(std::vector<Mutation>& all, unsigned n) {
    all.push_back({id(n, "base.v8086"), virtual_8086_image, {{nth(GUEST_ES_BASE, n), 0x1010}}});
    all.push_back({id(n, "limit.v8086"), virtual_8086_image, {{nth(GUEST_ES_LIMIT, n), 0xfffff}}});
    all.push_back({id(n, "rights.v8086"), virtual_8086_image, {{rights(n), 0x93}}});
    all.push_back({id(n, "s"), long_mode_image, {rights_with(n, 0, kS)}});
    all.push_back({id(n, "p"), long_mode_image, {rights_with(n, 0, kP)}});
}

/// What LDTR and TR are checked for too.
void add_any(std::vector<Mutation>& all, unsigned n) {
    all.push_back({id(n, "reserved"), long_mode_image, {rights_with(n, bit(9))}});
    all.push_back({id(n, "reserved"), long_mode_image, {rights_with(n, bit(20))}});
    all.push_back({id(n, "g.bytes"), long_mode_image, {rights_with(n, kG), {nth(GUEST_ES_LIMIT, n), 0xffffffe}}});
    all.push_back(
        {id(n, "g.pages"), long_mode_image, {rights_with(n, 0, kG), {nth(GUEST_ES_LIMIT, n), 0xfffff | bit(20)}}});
}

void add_data(std::vector<Mutation>& all, unsigned n) {
    all.push_back({id(n, "type.accessed"), long_mode_image, {rights_with(n, 0, bit(0))}});
    all.push_back({id(n, "type.readable"), long_mode_image, {{rights(n), 0xc099}}});
    all.push_back({id(n, "dpl"), long_mode_image, {{nth(GUEST_ES_SELECTOR, n), 0x13}}});
}

void add_bases(std::vector<Mutation>& all) {
    for (const unsigned n : {kFs, kGs, kTr})
        all.push_back({id(n, "base.canonical"), long_mode_image, {{nth(GUEST_ES_BASE, n), bit(60)}}});
    all.push_back(
        {"guest.ldtr.base.canonical", long_mode_image, {{GUEST_LDTR_AR_BYTES, 0x82}, {GUEST_LDTR_BASE, bit(60)}}});
    for (const unsigned n : {kCs, kSs, kDs, kEs})
        all.push_back({id(n, "base.wide"), long_mode_image, {{nth(GUEST_ES_BASE, n), bit(32)}}});
}

void add_privileges(std::vector<Mutation>& all) {
    const auto add = [&](const char* rule, Changes changes, bool first = true) {
        all.push_back({rule, long_mode_image, std::move(changes), first});
    };
    add("guest.tr.selector", {{GUEST_TR_SELECTOR, 0x1c}});
    add("guest.ldtr.selector", {{GUEST_LDTR_AR_BYTES, 0x82}, {GUEST_LDTR_SELECTOR, 4}});
    add("guest.ss.rpl", {{GUEST_SS_SELECTOR, 0x13}});
    add("guest.cs.type", {{GUEST_CS_AR_BYTES, 0xa098}});
    add("guest.cs.type", {{GUEST_CS_AR_BYTES, 0xc093}});
    add("guest.ss.type", {{GUEST_SS_AR_BYTES, 0xc091}});
    all.push_back({"guest.cs.dpl.data", real_mode_image, {{GUEST_CS_AR_BYTES, 0xf3}}});
    add("guest.cs.dpl.nonconforming", {{GUEST_CS_AR_BYTES, 0xa0fb}});
    add("guest.cs.dpl.conforming", {{GUEST_CS_AR_BYTES, 0xa0ff}});
    add("guest.ss.dpl.rpl", {{GUEST_SS_AR_BYTES, 0xc0f3}, {GUEST_CS_AR_BYTES, 0xa0fb}});
    all.push_back({"guest.ss.dpl.zero", real_mode_image, {{GUEST_SS_AR_BYTES, 0xf3}}});
    add("guest.cs.db", {{GUEST_CS_AR_BYTES, 0xe09b}});
}

void add_system(std::vector<Mutation>& all) {
    const auto add = [&](const char* rule, Field f, std::uint64_t bits) {
        all.push_back({rule, long_mode_image, {{f, bits}}});
    };
    add("guest.tr.type", GUEST_TR_AR_BYTES, 0x89);
    add("guest.tr.type", GUEST_TR_AR_BYTES, 0x83);
    add("guest.tr.s", GUEST_TR_AR_BYTES, 0x9b);
    add("guest.tr.p", GUEST_TR_AR_BYTES, 0x0b);
    add("guest.tr.usable", GUEST_TR_AR_BYTES, 0x1008b);
    add("guest.ldtr.type", GUEST_LDTR_AR_BYTES, 0x83);
    add("guest.ldtr.s", GUEST_LDTR_AR_BYTES, 0x92);
    add("guest.ldtr.p", GUEST_LDTR_AR_BYTES, 0x02);
}

}  // namespace

std::vector<Mutation> guest_segment_mutations() {
    std::vector<Mutation> all;
    for (unsigned n = kEs; n <= kGs; ++n) add_code_and_data(all, n);
    for (unsigned n = kEs; n <= kTr; ++n) add_any(all, n);
    for (const unsigned n : {kDs, kEs, kFs, kGs}) add_data(all, n);
    add_bases(all);
    add_privileges(all);
    add_system(all);
    return all;
}

}  // namespace vmxscope::vmx::test
