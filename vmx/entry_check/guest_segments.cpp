// SDM Vol. 3C 27.3.1.2: checks on the guest's segment registers.
#include "vmx/entry_check/context.h"

namespace vmxscope::vmx {
namespace {

using Guest = Rule<Answer::InvalidGuestState>;
using C = const EntryContext&;
using enum Field;
using namespace access_rights;
constexpr std::string_view k = "27.3.1.2";
constexpr std::uint64_t kHigh = bits(63, 32);
constexpr FieldBits kVirtual8086 = of(GUEST_RFLAGS, rflags::kVm);
constexpr FieldBits kUnrestricted = of(SECONDARY_VM_EXEC_CONTROL, secondary::kUnrestrictedGuest);

// Segment types with S set (SDM Vol. 3A 3.4.5.1) and without (3.5).
constexpr std::uint64_t kDataReadWriteAccessed = 3, kDataExpandDownAccessed = 7, kCodeAccessed = 9,
                        kCodeReadAccessed = 11, kConformingAccessed = 13, kConformingReadAccessed = 15;
constexpr std::uint64_t kLdt = 2, kBusyTss16 = 3, kBusyTss = 11;
// What virtual-8086 mode has: present, DPL 3, read/write data, accessed.
constexpr std::uint64_t kVirtual8086Rights = 0xf3, kVirtual8086Limit = 0xffff;

std::uint64_t type_of(C c, Field rights) {
    return c[rights] & kType;
}
std::uint64_t dpl_of(C c, Field rights) {
    return (c[rights] & kDpl) >> 5;
}
std::uint64_t rpl_of(C c, Field segment_selector) {
    return c[segment_selector] & selector::kRpl;
}
bool usable(C c, Field rights) {
    return !(c[rights] & kUnusable);
}
/// CS is never unusable for the checks, and outside virtual-8086 mode they are of every usable register.
bool checked(C c, Field rights) {
    if (rights == GUEST_LDTR_AR_BYTES) return usable(c, rights);
    if (rights == GUEST_TR_AR_BYTES) return true;
    return !c.virtual_8086() && (rights == GUEST_CS_AR_BYTES || usable(c, rights));
}

std::uint64_t required_bit(C c, Field rights, std::uint64_t required) {
    return checked(c, rights) ? ~c[rights] & required : 0;
}
std::uint64_t forbidden_bits(C c, Field rights, std::uint64_t forbidden) {
    return checked(c, rights) ? c[rights] & forbidden : 0;
}
/// With bits 11:0 of the limit not all set, it is in bytes: G is 0. With any of bits 31:20, it is in pages: G is 1.
std::uint64_t granularity_clear(C c, Field rights, Field limit) {
    return checked(c, rights) && (c[limit] & 0xfff) != 0xfff ? c[rights] & kG : 0;
}
std::uint64_t granularity_set(C c, Field rights, Field limit) {
    return checked(c, rights) && (c[limit] & bits(31, 20)) ? ~c[rights] & kG : 0;
}

// The registers: id, name of the fields.
#define FOR_CODE_AND_DATA(X) X("cs", CS), X("ss", SS), X("ds", DS), X("es", ES), X("fs", FS), X("gs", GS)
#define FOR_DATA(X) X("ds", DS), X("es", ES), X("fs", FS), X("gs", GS)

bool stack_privilege_fits(C c) {
    if (c.virtual_8086() || c.unrestricted()) return true;
    return rpl_of(c, GUEST_SS_SELECTOR) == rpl_of(c, GUEST_CS_SELECTOR);
}

constexpr Guest kSelectors[] = {
    Guest("guest.tr.selector", k, "GUEST_TR_SELECTOR has TI 0", on<of(GUEST_TR_SELECTOR, selector::kTi)>,
          [](C c) { return c[GUEST_TR_SELECTOR] & selector::kTi; }),
    Guest("guest.ldtr.selector", k, "GUEST_LDTR_SELECTOR of a usable LDTR has TI 0",
          on<of(GUEST_LDTR_SELECTOR, selector::kTi), of(GUEST_LDTR_AR_BYTES, kUnusable)>,
          [](C c) { return usable(c, GUEST_LDTR_AR_BYTES) ? c[GUEST_LDTR_SELECTOR] & selector::kTi : 0; }),
    Guest("guest.ss.rpl", k, "SS.RPL is CS.RPL, but in virtual-8086 mode and for an unrestricted guest",
          on<of(GUEST_SS_SELECTOR, selector::kRpl), of(GUEST_CS_SELECTOR, selector::kRpl), kVirtual8086, kUnrestricted>,
          [](C c) { return unless(stack_privilege_fits(c)); }),
};

#define VIRTUAL_8086_BASE(ID, R)                                                                            \
    Guest("guest." ID ".base.v8086", k, "In virtual-8086 mode, GUEST_" #R "_BASE is the selector times 16", \
          on<of(GUEST_##R##_BASE), of(GUEST_##R##_SELECTOR), kVirtual8086>,                                 \
          [](C c) { return unless(!c.virtual_8086() || c[GUEST_##R##_BASE] == c[GUEST_##R##_SELECTOR] << 4); })
#define CANONICAL_BASE(ID, R)                                                                           \
    Guest("guest." ID ".base.canonical", k, "GUEST_" #R "_BASE is canonical", on<of(GUEST_##R##_BASE)>, \
          [](C c) { return unless(c.canonical(c[GUEST_##R##_BASE])); })
#define NARROW_BASE(ID, R)                                                                      \
    Guest("guest." ID ".base.wide", k, "GUEST_" #R "_BASE of a usable " #R " has bits 63:32 0", \
          on<of(GUEST_##R##_BASE, kHigh), of(GUEST_##R##_AR_BYTES, kUnusable)>,                 \
          [](C c) { return usable(c, GUEST_##R##_AR_BYTES) ? c[GUEST_##R##_BASE] & kHigh : 0; })
#define VIRTUAL_8086_LIMIT(ID, R)                                                              \
    Guest("guest." ID ".limit.v8086", k, "In virtual-8086 mode, GUEST_" #R "_LIMIT is 0xffff", \
          on<of(GUEST_##R##_LIMIT), kVirtual8086>,                                             \
          [](C c) { return unless(!c.virtual_8086() || c[GUEST_##R##_LIMIT] == kVirtual8086Limit); })
#define VIRTUAL_8086_RIGHTS(ID, R)                                                               \
    Guest("guest." ID ".rights.v8086", k, "In virtual-8086 mode, GUEST_" #R "_AR_BYTES is 0xf3", \
          on<of(GUEST_##R##_AR_BYTES), kVirtual8086>,                                            \
          [](C c) { return unless(!c.virtual_8086() || c[GUEST_##R##_AR_BYTES] == kVirtual8086Rights); })

constexpr Guest kBasesAndLimits[] = {
    FOR_CODE_AND_DATA(VIRTUAL_8086_BASE),
    CANONICAL_BASE("tr", TR),
    CANONICAL_BASE("fs", FS),
    CANONICAL_BASE("gs", GS),
    Guest("guest.ldtr.base.canonical", k, "GUEST_LDTR_BASE of a usable LDTR is canonical",
          on<of(GUEST_LDTR_BASE), of(GUEST_LDTR_AR_BYTES, kUnusable)>,
          [](C c) { return unless(!usable(c, GUEST_LDTR_AR_BYTES) || c.canonical(c[GUEST_LDTR_BASE])); }),
    Guest("guest.cs.base.wide", k, "GUEST_CS_BASE has bits 63:32 0", on<of(GUEST_CS_BASE, kHigh)>,
          [](C c) { return c[GUEST_CS_BASE] & kHigh; }),
    NARROW_BASE("ss", SS),
    NARROW_BASE("ds", DS),
    NARROW_BASE("es", ES),
    FOR_CODE_AND_DATA(VIRTUAL_8086_LIMIT),
    FOR_CODE_AND_DATA(VIRTUAL_8086_RIGHTS),
};

bool code_type_fits(C c) {
    if (c.virtual_8086()) return true;
    const std::uint64_t type = type_of(c, GUEST_CS_AR_BYTES);
    if (type == kDataReadWriteAccessed) return c.unrestricted();
    return type == kCodeAccessed || type == kCodeReadAccessed || type == kConformingAccessed ||
           type == kConformingReadAccessed;
}

bool stack_type_fits(C c) {
    const std::uint64_t type = type_of(c, GUEST_SS_AR_BYTES);
    return !checked(c, GUEST_SS_AR_BYTES) || type == kDataReadWriteAccessed || type == kDataExpandDownAccessed;
}

/// Code (bit 3) has to be readable (bit 1) to be in a data register.
std::uint64_t unreadable_code(C c, Field rights) {
    return checked(c, rights) && (c[rights] & bit(3)) ? ~c[rights] & bit(1) : 0;
}

bool code_dpl_is_zero_for_data(C c) {
    if (c.virtual_8086() || type_of(c, GUEST_CS_AR_BYTES) != kDataReadWriteAccessed) return true;
    return dpl_of(c, GUEST_CS_AR_BYTES) == 0;
}
bool nonconforming_dpl_fits(C c) {
    const std::uint64_t type = type_of(c, GUEST_CS_AR_BYTES);
    if (c.virtual_8086() || (type != kCodeAccessed && type != kCodeReadAccessed)) return true;
    return dpl_of(c, GUEST_CS_AR_BYTES) == dpl_of(c, GUEST_SS_AR_BYTES);
}
bool conforming_dpl_fits(C c) {
    const std::uint64_t type = type_of(c, GUEST_CS_AR_BYTES);
    if (c.virtual_8086() || (type != kConformingAccessed && type != kConformingReadAccessed)) return true;
    return dpl_of(c, GUEST_CS_AR_BYTES) <= dpl_of(c, GUEST_SS_AR_BYTES);
}
bool stack_dpl_is_rpl(C c) {
    if (c.virtual_8086() || c.unrestricted()) return true;
    return dpl_of(c, GUEST_SS_AR_BYTES) == rpl_of(c, GUEST_SS_SELECTOR);
}
/// In real mode, and where CS is a data segment, the CPL is 0.
bool stack_dpl_is_zero(C c) {
    const bool zero = type_of(c, GUEST_CS_AR_BYTES) == kDataReadWriteAccessed || !(c[GUEST_CR0] & cr0::kPe);
    return c.virtual_8086() || !zero || dpl_of(c, GUEST_SS_AR_BYTES) == 0;
}
/// Of data and non-conforming code, which types 0 to 11 are.
bool data_dpl_fits(C c, Field rights, Field segment_selector) {
    if (!checked(c, rights) || c.unrestricted() || type_of(c, rights) > kCodeReadAccessed) return true;
    return dpl_of(c, rights) >= rpl_of(c, segment_selector);
}

#define ACCESSED(ID, R)                                                                                               \
    Guest("guest." ID ".type.accessed", k, "A usable " #R " is accessed", on<of(GUEST_##R##_AR_BYTES), kVirtual8086>, \
          [](C c) { return required_bit(c, GUEST_##R##_AR_BYTES, bit(0)); })
#define READABLE(ID, R)                                                                          \
    Guest("guest." ID ".type.readable", k, "A usable " #R " that is a code segment is readable", \
          on<of(GUEST_##R##_AR_BYTES), kVirtual8086>, [](C c) { return unreadable_code(c, GUEST_##R##_AR_BYTES); })
#define IS_SEGMENT(ID, R)                                                           \
    Guest("guest." ID ".s", k, "A usable " #R " is a code or data segment: S is 1", \
          on<of(GUEST_##R##_AR_BYTES), kVirtual8086>, [](C c) { return required_bit(c, GUEST_##R##_AR_BYTES, kS); })
#define DATA_DPL(ID, R)                                                                                        \
    Guest("guest." ID ".dpl", k,                                                                               \
          "The DPL of a usable " #R                                                                            \
          " that is no conforming code segment is at least its RPL, but for an unrestricted guest",            \
          on<of(GUEST_##R##_AR_BYTES), of(GUEST_##R##_SELECTOR, selector::kRpl), kVirtual8086, kUnrestricted>, \
          [](C c) { return unless(data_dpl_fits(c, GUEST_##R##_AR_BYTES, GUEST_##R##_SELECTOR)); })
#define PRESENT(ID, R)                                                                                   \
    Guest("guest." ID ".p", k, "A usable " #R " is present", on<of(GUEST_##R##_AR_BYTES), kVirtual8086>, \
          [](C c) { return required_bit(c, GUEST_##R##_AR_BYTES, kP); })
#define RESERVED(ID, R)                                                                                     \
    Guest("guest." ID ".reserved", k, "GUEST_" #R "_AR_BYTES of a usable " #R " has bits 11:8 and 31:17 0", \
          on<of(GUEST_##R##_AR_BYTES), kVirtual8086>,                                                       \
          [](C c) { return forbidden_bits(c, GUEST_##R##_AR_BYTES, kReserved); })
#define GRANULARITY(ID, R)                                                                                     \
    Guest("guest." ID ".g.bytes", k, "G of a usable " #R " is 0 when bits 11:0 of the limit are not all 1",    \
          on<of(GUEST_##R##_AR_BYTES), of(GUEST_##R##_LIMIT), kVirtual8086>,                                   \
          [](C c) { return granularity_clear(c, GUEST_##R##_AR_BYTES, GUEST_##R##_LIMIT); }),                  \
        Guest("guest." ID ".g.pages", k, "G of a usable " #R " is 1 when any of bits 31:20 of the limit is 1", \
              on<of(GUEST_##R##_AR_BYTES), of(GUEST_##R##_LIMIT), kVirtual8086>,                               \
              [](C c) { return granularity_set(c, GUEST_##R##_AR_BYTES, GUEST_##R##_LIMIT); })

constexpr FieldBits kCs = of(GUEST_CS_AR_BYTES), kSs = of(GUEST_SS_AR_BYTES);

constexpr Guest kTypesAndPrivileges[] = {
    Guest("guest.cs.type", k, "CS is accessed code (type 9, 11, 13 or 15), or for an unrestricted guest data of type 3",
          on<kCs, kVirtual8086, kUnrestricted>, [](C c) { return unless(code_type_fits(c)); }),
    Guest("guest.ss.type", k, "A usable SS is accessed read/write data (type 3 or 7)", on<kSs, kVirtual8086>,
          [](C c) { return unless(stack_type_fits(c)); }),
    FOR_DATA(ACCESSED),
    FOR_DATA(READABLE),
    FOR_CODE_AND_DATA(IS_SEGMENT),
    Guest("guest.cs.dpl.data", k, "CS that is a data segment has DPL 0", on<kCs, kVirtual8086>,
          [](C c) { return unless(code_dpl_is_zero_for_data(c)); }),
    Guest("guest.cs.dpl.nonconforming", k, "The DPL of a non-conforming CS is SS.DPL", on<kCs, kSs, kVirtual8086>,
          [](C c) { return unless(nonconforming_dpl_fits(c)); }),
    Guest("guest.cs.dpl.conforming", k, "The DPL of a conforming CS is at most SS.DPL", on<kCs, kSs, kVirtual8086>,
          [](C c) { return unless(conforming_dpl_fits(c)); }),
    Guest("guest.ss.dpl.rpl", k, "SS.DPL is SS.RPL, but for an unrestricted guest",
          on<kSs, of(GUEST_SS_SELECTOR, selector::kRpl), kVirtual8086, kUnrestricted>,
          [](C c) { return unless(stack_dpl_is_rpl(c)); }),
    Guest("guest.ss.dpl.zero", k, "SS.DPL is 0 in real mode and where CS is a data segment",
          on<kSs, kCs, of(GUEST_CR0, cr0::kPe), kVirtual8086>, [](C c) { return unless(stack_dpl_is_zero(c)); }),
    FOR_DATA(DATA_DPL),
    FOR_CODE_AND_DATA(PRESENT),
    FOR_CODE_AND_DATA(RESERVED),
    Guest("guest.cs.db", k, "In 64-bit mode (CS.L), CS.D/B is 0",
          on<of(GUEST_CS_AR_BYTES, kL | kDb), of(VM_ENTRY_CONTROLS, entries::kIa32eGuest), kVirtual8086>,
          [](C c) { return !c.virtual_8086() && c.mode_64() ? c[GUEST_CS_AR_BYTES] & kDb : 0; }),
    FOR_CODE_AND_DATA(GRANULARITY),
};

bool task_type_fits(C c) {
    const std::uint64_t type = type_of(c, GUEST_TR_AR_BYTES);
    return type == kBusyTss || (type == kBusyTss16 && !c.ia32e());
}

constexpr FieldBits kTr = of(GUEST_TR_AR_BYTES), kLdtr = of(GUEST_LDTR_AR_BYTES);

constexpr Guest kSystemSegments[] = {
    Guest("guest.tr.type", k, "TR is a busy TSS: type 11, or 3 outside IA-32e mode",
          on<kTr, of(VM_ENTRY_CONTROLS, entries::kIa32eGuest)>, [](C c) { return unless(task_type_fits(c)); }),
    Guest("guest.tr.s", k, "TR is a system segment: S is 0", on<kTr>, [](C c) { return c[GUEST_TR_AR_BYTES] & kS; }),
    Guest("guest.tr.p", k, "TR is present", on<kTr>, [](C c) { return ~c[GUEST_TR_AR_BYTES] & kP; }),
    Guest("guest.tr.reserved", k, "GUEST_TR_AR_BYTES has bits 11:8 and 31:17 0", on<kTr>,
          [](C c) { return c[GUEST_TR_AR_BYTES] & kReserved; }),
    GRANULARITY("tr", TR),
    Guest("guest.tr.usable", k, "TR is usable", on<kTr>, [](C c) { return c[GUEST_TR_AR_BYTES] & kUnusable; }),
    Guest("guest.ldtr.type", k, "A usable LDTR is an LDT: type 2", on<kLdtr>,
          [](C c) { return unless(!usable(c, GUEST_LDTR_AR_BYTES) || type_of(c, GUEST_LDTR_AR_BYTES) == kLdt); }),
    Guest("guest.ldtr.s", k, "A usable LDTR is a system segment: S is 0", on<kLdtr>,
          [](C c) { return forbidden_bits(c, GUEST_LDTR_AR_BYTES, kS); }),
    Guest("guest.ldtr.p", k, "A usable LDTR is present", on<kLdtr>,
          [](C c) { return required_bit(c, GUEST_LDTR_AR_BYTES, kP); }),
    Guest("guest.ldtr.reserved", k, "GUEST_LDTR_AR_BYTES of a usable LDTR has bits 11:8 and 31:17 0", on<kLdtr>,
          [](C c) { return forbidden_bits(c, GUEST_LDTR_AR_BYTES, kReserved); }),
    GRANULARITY("ldtr", LDTR),
};

}  // namespace

std::span<const EntryRule> guest_segment_rules() {
    return joined<kSelectors, kBasesAndLimits, kTypesAndPrivileges, kSystemSegments>();
}

}  // namespace vmxscope::vmx
