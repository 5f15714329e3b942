// Walks of paging structures: EPT (SDM Vol. 3C 29.3) and the guest's own (SDM Vol. 3A ch. 4). Only reads: no accessed
// or dirty flag is set, and permissions are reported, not enforced.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmxscope::vmx {

/// One entry that a walk read.
struct WalkStep {
    unsigned level = 0;         // 5 to 1: PML5E to PTE; PAE's PDPTE is 3
    std::uint64_t address = 0;  // where the entry is: physical, of the level that owns the tables
    std::uint64_t entry = 0;
    bool operator==(const WalkStep&) const = default;
};

/// The 8 bytes at an address that is a multiple of 8; empty when it cannot be read. An EPT walk asks for addresses of
/// the level that owns the EPT, a linear walk for guest-physical ones.
using ReadQword = std::function<std::optional<std::uint64_t>(std::uint64_t physical)>;

enum class EntryFormat : std::uint8_t {
    Ept,     // SDM Vol. 3C 29.3.2
    Bits32,  // 32-bit paging, SDM Vol. 3A 4.3: entries of 4 bytes
    Pae,     // SDM Vol. 3A 4.4
    Long,    // 4-level and 5-level paging, SDM Vol. 3A 4.5
};

/// What the meaning of an entry depends on besides its bits.
struct EntryRules {
    EntryFormat format = EntryFormat::Long;
    unsigned maxphyaddr = 52;      // CPUID 80000008H:EAX[7:0], 32 to 52
    bool nxe = true;               // EFER.NXE: bit 63 is XD, else reserved. Not for EPT
    bool pse = true;               // CR4.PSE: 32-bit paging has 4-MByte pages
    bool execute_only = true;      // IA32_VMX_EPT_VPID_CAP bit 0. EPT only
    bool mode_based_exec = false;  // the secondary control "mode-based execute control for EPT": bit 10 is XU
};

/// One entry, taken apart; `encode` puts it together again.
struct PagingEntry {
    unsigned level = 0;
    bool present = false;            // EPT: any of R, W, X (and XU)
    bool leaf = false;               // maps a page; `address` is the page's
    std::uint64_t address = 0;       // of the page or of the table below
    std::uint64_t page_size = 0;     // bytes; 0 when not a leaf
    std::uint64_t reserved = 0;      // reserved bits that are set; they matter only when present
    std::uint64_t other = 0;         // every other bit: flags, memory type and what is ignored
    std::string_view misconfigured;  // EPT: why the bits, reserved ones apart, are not allowed; else empty
    bool faulting() const { return present && (reserved != 0 || !misconfigured.empty()); }
};

/// `level`: 5 to 1 as in WalkStep; others are taken as the nearest. Bits above 31 of a 32-bit entry count as reserved.
PagingEntry decode_entry(unsigned level, std::uint64_t bits, const EntryRules& rules);
std::uint64_t encode(const PagingEntry& entry, EntryFormat format);

/// Short, for a table cell: "table at 0x5000, R W X A", "2-MByte page at 0x200000, R W, WB", "not present",
/// "present, reserved bits 0x20 set".
std::string describe_entry(unsigned level, std::uint64_t bits, const EntryRules& rules);
/// "PML4E", "PDE".
std::string_view entry_name(unsigned level);

enum class WalkFault : std::uint8_t {
    None,
    NotPresent,     // the last step's entry is not present
    Misconfigured,  // EPT: the last step's entry is an EPT misconfiguration (SDM 29.3.3.1)
    Reserved,       // linear: the last step's entry sets reserved bits
    Unreadable,     // the entry that comes next could not be read
    BadAddress,     // the address is wider than the structures translate, or not canonical
    BadRoot,        // the EPTP names no supported number of levels
};
std::string_view name_of(WalkFault fault);  // "not present"

struct Walk {
    std::vector<WalkStep> steps;            // in the order they were read, at most 5
    std::optional<std::uint64_t> physical;  // what the address translates to; empty when there is a fault
    std::uint64_t page_size = 0;            // bytes; 0 with a fault, or without paging
    WalkFault fault = WalkFault::None;
};

/// What a guest-physical address becomes. Of `rules`, `format` is not looked at. SDM Vol. 3C 29.3.2.
Walk walk_ept(std::uint64_t eptp, std::uint64_t guest_physical, const EntryRules& rules, const ReadQword& read);
Walk walk_ept(std::uint64_t eptp, std::uint64_t guest_physical, unsigned maxphyaddr, const ReadQword& read);

/// The registers that choose a paging mode (SDM Vol. 3A 4.1.1).
struct LinearMode {
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0;
    std::uint64_t efer = 0;  // LMA decides between PAE and 4-level paging
    /// PAE paging under EPT: the four GUEST_PDPTR fields. Empty: they are read from the table at CR3.
    std::optional<std::array<std::uint64_t, 4>> pdptes{};
};

/// What a linear address becomes; guest-physical in a VMX guest. Without paging the address itself, cut to 32 bits.
Walk walk_linear(const LinearMode& mode, std::uint64_t linear, unsigned maxphyaddr, const ReadQword& read);
/// "no paging", "32-bit paging", "PAE paging", "4-level paging", "5-level paging".
std::string_view paging_mode_name(const LinearMode& mode);
/// How entries of this mode are to be read; without paging those of 32-bit paging.
EntryRules entry_rules(const LinearMode& mode, unsigned maxphyaddr);

}  // namespace vmxscope::vmx
