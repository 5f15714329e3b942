#include "vmx/paging.h"

#include <algorithm>

#include <fmt/format.h>

#include "vmx/bits.h"

namespace vmxscope::vmx {
namespace {

constexpr std::uint64_t kPageSizeBit = 1u << 7;
constexpr std::uint64_t kEferNxe = 1u << 11;
constexpr std::uint64_t kCr4Pse = 1u << 4;
constexpr std::uint64_t kCr4La57 = 1u << 12;

/// Bits hi:lo set; empty when hi < lo.
constexpr std::uint64_t mask(unsigned hi, unsigned lo) {
    return hi < lo ? 0 : (~0ULL >> (63 - hi)) & (~0ULL << lo);
}

constexpr unsigned width(const EntryRules& rules) {
    return std::clamp(rules.maxphyaddr, 32u, 52u);
}

/// Bits of an address inside what one entry of `level` covers: 12, 21, 30, …; 22 for a 32-bit PDE.
constexpr unsigned shift_of(unsigned level, EntryFormat format) {
    const unsigned index_bits = format == EntryFormat::Bits32 ? 10 : 9;
    return 12 + (level - 1) * index_bits;
}

bool maps_page(unsigned level, std::uint64_t bits, const EntryRules& rules) {
    if (level == 1) return true;
    if (!(bits & kPageSizeBit)) return false;
    switch (rules.format) {
        case EntryFormat::Bits32: return level == 2 && rules.pse;
        case EntryFormat::Pae: return level == 2;
        default: return level == 2 || level == 3;
    }
}

/// SDM tables 29-1 to 29-7.
std::uint64_t ept_reserved(unsigned level, bool leaf, const EntryRules& rules) {
    const std::uint64_t high = mask(51, width(rules));
    if (!leaf) return high | mask(level >= 4 ? 7 : 6, 3);
    return high | mask(shift_of(level, EntryFormat::Ept) - 1, 12);
}

/// SDM Vol. 3A, tables 4-5, 4-6 (32-bit), 4-8 to 4-11 (PAE), 4-15 to 4-20 (4-level and 5-level).
std::uint64_t linear_reserved(unsigned level, bool leaf, const EntryRules& rules) {
    const unsigned m = width(rules);
    const bool large = leaf && level > 1;
    const std::uint64_t low = large ? mask(shift_of(level, rules.format) - 1, 13) : 0;  // bit 12 is PAT
    const std::uint64_t xd = rules.nxe ? 0 : 1ULL << 63;
    switch (rules.format) {
        case EntryFormat::Bits32: return mask(63, 32) | (large ? mask(21, std::min(m, 40u) - 19) : 0);
        case EntryFormat::Pae:
            if (level == 3) return mask(2, 1) | mask(8, 5) | mask(63, m);
            return low | xd | mask(62, m);
        default: return low | xd | mask(51, m) | (level >= 4 ? kPageSizeBit : 0);
    }
}

std::uint64_t address_in(unsigned level, bool leaf, std::uint64_t bits, const EntryRules& rules) {
    if (rules.format == EntryFormat::Bits32) {
        if (!leaf || level == 1) return bits & mask(31, 12);
        const std::uint64_t high = ((bits >> 13) & 0xff) << 32;              // PSE-36
        return (bits & mask(31, 22)) | (high & mask(width(rules) - 1, 32));  // PSE-36
    }
    const unsigned low = leaf ? shift_of(level, rules.format) : 12;
    return bits & mask(width(rules) - 1, low);
}

/// Where `address` stands in an entry; the inverse of address_in.
std::uint64_t address_bits(const PagingEntry& entry, EntryFormat format) {
    if (format != EntryFormat::Bits32 || entry.level == 1 || !entry.leaf) return entry.address;
    return (entry.address & mask(31, 22)) | ((entry.address >> 32) & 0xff) << 13;
}

/// SDM Vol. 3C 29.3.3.1.
std::string_view ept_misconfiguration(std::uint64_t bits, bool leaf, const EntryRules& rules) {
    const bool readable = bits & 1, writable = bits & 2;
    const bool executable = (bits & 4) || (rules.mode_based_exec && (bits & (1u << 10)));
    if (!readable && writable) return "writable but not readable";
    if (!readable && executable && !rules.execute_only) return "execute-only, which the processor does not support";
    const unsigned type = (bits >> 3) & 7;
    if (leaf && (type == 2 || type == 3 || type == 7)) return "reserved memory type";
    return {};
}

std::string size_text(std::uint64_t bytes) {
    if (bytes >= 1u << 30) return fmt::format("{}-GByte", bytes >> 30);
    if (bytes >= 1u << 20) return fmt::format("{}-MByte", bytes >> 20);
    return fmt::format("{}-KByte", bytes >> 10);
}

std::string ept_flags(const PagingEntry& e, const EntryRules& rules) {
    static constexpr BitName kAccess[] = {{0, "R"}, {1, "W"}, {2, "X"}};
    static constexpr BitName kUser[] = {{10, "XU"}};
    static constexpr BitName kMore[] = {{8, "A"},    {9, "D"},    {57, "VGP"}, {58, "PW"},
                                        {60, "SSS"}, {61, "SPP"}, {63, "SVE"}};
    std::string text = join_bits(kAccess, e.other & 7);
    if (rules.mode_based_exec && (e.other & (1u << 10))) text += fmt::format(" {}", join_bits(kUser, 1u << 10));
    const std::uint64_t named = e.leaf ? 1ULL << 63 | 1ULL << 61 | 1ULL << 60 | 3ULL << 57 | 3u << 8 : 1u << 8;
    if (e.other & named) text += fmt::format(" {}", join_bits(kMore, e.other & named));
    if (!e.leaf) return text;
    static constexpr std::string_view kTypes[] = {"UC", "WC", "?", "?", "WT", "WP", "WB", "?"};
    text += fmt::format(", {}", kTypes[(e.other >> 3) & 7]);
    if (e.other & (1u << 6)) text += ", ignores PAT";
    return text;
}

std::string linear_flags(const PagingEntry& e, const EntryRules& rules) {
    static constexpr BitName kFlags[] = {{1, "RW"}, {2, "US"},  {3, "PWT"}, {4, "PCD"}, {5, "A"},
                                         {6, "D"},  {7, "PAT"}, {8, "G"},   {63, "XD"}};
    const bool pdpte = rules.format == EntryFormat::Pae && e.level == 3;
    std::uint64_t named = pdpte ? 0x18 : 0x3e | 1ULL << 63;
    if (e.leaf) named |= e.level == 1 ? 7u << 6 : 5u << 6;
    std::string text = join_bits(kFlags, e.other & named);
    if (e.leaf && e.level > 1 && (e.other & (1u << 12))) text += text.empty() ? "PAT" : " PAT";
    return text;
}

std::optional<std::uint64_t> read_entry(const ReadQword& read, std::uint64_t address, EntryFormat format) {
    const auto qword = read(address & ~7ULL);
    if (!qword || format != EntryFormat::Bits32) return qword;
    return (*qword >> (address & 4 ? 32 : 0)) & 0xffffffff;
}

/// Down from the table at `table`, whose entries are of `level`.
Walk walk_from(Walk walk, unsigned level, std::uint64_t table, std::uint64_t address, const EntryRules& rules,
               const ReadQword& read) {
    const unsigned index_bits = rules.format == EntryFormat::Bits32 ? 10 : 9;
    const unsigned entry_bytes = rules.format == EntryFormat::Bits32 ? 4 : 8;
    for (;; --level) {
        const std::uint64_t index = (address >> shift_of(level, rules.format)) & mask(index_bits - 1, 0);
        const std::uint64_t where = table + index * entry_bytes;
        const auto bits = read_entry(read, where, rules.format);
        if (!bits) {
            walk.fault = WalkFault::Unreadable;
            return walk;
        }
        walk.steps.push_back({level, where, *bits});
        const PagingEntry entry = decode_entry(level, *bits, rules);
        if (!entry.present || entry.faulting()) {
            walk.fault = !entry.present                     ? WalkFault::NotPresent
                         : rules.format == EntryFormat::Ept ? WalkFault::Misconfigured
                                                            : WalkFault::Reserved;
            return walk;
        }
        if (entry.leaf) {
            walk.page_size = entry.page_size;
            walk.physical = entry.address | (address & (entry.page_size - 1));
            return walk;
        }
        table = entry.address;
    }
}

Walk failed(WalkFault fault) {
    Walk walk;
    walk.fault = fault;
    return walk;
}

/// PAE: one of four PDPTEs, from the registers (or the VMCS) or from the 32-byte table at CR3.
Walk walk_pae(const LinearMode& mode, std::uint64_t linear, const EntryRules& rules, const ReadQword& read) {
    const std::uint64_t index = (linear >> 30) & 3;
    const std::uint64_t where = (mode.cr3 & mask(31, 5)) + index * 8;
    const auto bits = mode.pdptes ? std::optional((*mode.pdptes)[index]) : read(where);
    if (!bits) return failed(WalkFault::Unreadable);
    Walk walk;
    walk.steps.push_back({3, where, *bits});
    const PagingEntry entry = decode_entry(3, *bits, rules);
    if (!entry.present || entry.faulting()) {
        walk.fault = entry.present ? WalkFault::Reserved : WalkFault::NotPresent;
        return walk;
    }
    return walk_from(std::move(walk), 2, entry.address, linear, rules, read);
}

bool canonical(std::uint64_t linear, unsigned bits) {
    const std::uint64_t high = linear >> (bits - 1);
    return high == 0 || high == ~0ULL >> (bits - 1);
}

}  // namespace

PagingEntry decode_entry(unsigned level, std::uint64_t bits, const EntryRules& rules) {
    PagingEntry e;
    const unsigned most = rules.format == EntryFormat::Bits32 ? 2 : rules.format == EntryFormat::Pae ? 3 : 5;
    e.level = std::clamp(level, 1u, most);
    e.leaf = maps_page(e.level, bits, rules);
    e.address = address_in(e.level, e.leaf, bits, rules);
    if (e.leaf) e.page_size = 1ULL << shift_of(e.level, rules.format);
    const bool ept = rules.format == EntryFormat::Ept;
    e.present = bits & (!ept ? 1 : rules.mode_based_exec ? 0x407 : 7);
    e.reserved = bits & (ept ? ept_reserved(e.level, e.leaf, rules) : linear_reserved(e.level, e.leaf, rules));
    if (ept) e.misconfigured = ept_misconfiguration(bits, e.leaf, rules);
    e.other = bits & ~e.reserved & ~address_bits(e, rules.format);
    return e;
}

std::uint64_t encode(const PagingEntry& entry, EntryFormat format) {
    return address_bits(entry, format) | entry.reserved | entry.other;
}

std::string describe_entry(unsigned level, std::uint64_t bits, const EntryRules& rules) {
    const PagingEntry e = decode_entry(level, bits, rules);
    if (!e.present) return "not present";
    if (e.reserved) return fmt::format("present, reserved bits {:#x} set", e.reserved);
    if (!e.misconfigured.empty()) return fmt::format("misconfigured: {}", e.misconfigured);
    const std::string what = e.leaf ? fmt::format("{} page", size_text(e.page_size)) : "table";
    const std::string flags = rules.format == EntryFormat::Ept ? ept_flags(e, rules) : linear_flags(e, rules);
    return fmt::format("{} at {:#x}{}{}", what, e.address, flags.empty() ? "" : ", ", flags);
}

std::string_view entry_name(unsigned level) {
    constexpr std::string_view kNames[] = {"PTE", "PDE", "PDPTE", "PML4E", "PML5E"};
    return kNames[std::clamp(level, 1u, 5u) - 1];
}

std::string_view name_of(WalkFault fault) {
    constexpr std::string_view kNames[] = {"none",
                                           "not present",
                                           "misconfigured",
                                           "reserved bits set",
                                           "unreadable",
                                           "address not translatable",
                                           "no such number of levels"};
    const auto i = static_cast<std::size_t>(fault);
    return i < std::size(kNames) ? kNames[i] : "?";
}

Walk walk_ept(std::uint64_t eptp, std::uint64_t guest_physical, const EntryRules& rules, const ReadQword& read) {
    EntryRules ept = rules;
    ept.format = EntryFormat::Ept;
    const unsigned levels = ((eptp >> 3) & 7) + 1;  // SDM table 25-9
    if (levels != 4 && levels != 5) return failed(WalkFault::BadRoot);
    if (guest_physical >> (12 + 9 * levels)) return failed(WalkFault::BadAddress);
    return walk_from({}, levels, eptp & mask(width(ept) - 1, 12), guest_physical, ept, read);
}

Walk walk_ept(std::uint64_t eptp, std::uint64_t guest_physical, unsigned maxphyaddr, const ReadQword& read) {
    EntryRules rules;
    rules.maxphyaddr = maxphyaddr;
    return walk_ept(eptp, guest_physical, rules, read);
}

EntryRules entry_rules(const LinearMode& mode, unsigned maxphyaddr) {
    EntryRules rules;
    rules.maxphyaddr = maxphyaddr;
    rules.nxe = mode.efer & kEferNxe;
    rules.pse = mode.cr4 & kCr4Pse;
    rules.format = !(mode.cr0 & kCr0Pg) || !(mode.cr4 & kCr4Pae) ? EntryFormat::Bits32
                   : mode.efer & kEferLma                        ? EntryFormat::Long
                                                                 : EntryFormat::Pae;
    return rules;
}

std::string_view paging_mode_name(const LinearMode& mode) {
    if (!(mode.cr0 & kCr0Pg)) return "no paging";
    switch (entry_rules(mode, 52).format) {
        case EntryFormat::Bits32: return "32-bit paging";
        case EntryFormat::Pae: return "PAE paging";
        default: return mode.cr4 & kCr4La57 ? "5-level paging" : "4-level paging";
    }
}

Walk walk_linear(const LinearMode& mode, std::uint64_t linear, unsigned maxphyaddr, const ReadQword& read) {
    const EntryRules rules = entry_rules(mode, maxphyaddr);
    if (!(mode.cr0 & kCr0Pg)) {
        Walk walk;
        walk.physical = linear & 0xffffffff;
        return walk;
    }
    if (rules.format != EntryFormat::Long) {
        if (linear >> 32) return failed(WalkFault::BadAddress);
        if (rules.format == EntryFormat::Pae) return walk_pae(mode, linear, rules, read);
        return walk_from({}, 2, mode.cr3 & mask(31, 12), linear, rules, read);
    }
    const unsigned levels = mode.cr4 & kCr4La57 ? 5 : 4;
    if (!canonical(linear, 12 + 9 * levels)) return failed(WalkFault::BadAddress);
    return walk_from({}, levels, mode.cr3 & mask(width(rules) - 1, 12), linear, rules, read);
}

}  // namespace vmxscope::vmx
