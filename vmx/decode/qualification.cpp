#include <array>

#include <fmt/format.h>

#include "vmx/decode/exit_layouts.h"
#include "vmx/exit_reason.h"

namespace vmxscope::vmx {
namespace {

using Kind = SubFieldKind;
using Words = std::string_view;

constexpr Words kRegisters[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
constexpr std::uint64_t bit(unsigned n) {
    return 1ULL << n;
}

// SDM table 28-1.
constexpr SubField kDebug[] = {
    {.low = 0, .name = "B0", .meaning = "the condition of DR0 was met"},
    {.low = 1, .name = "B1", .meaning = "the condition of DR1 was met"},
    {.low = 2, .name = "B2", .meaning = "the condition of DR2 was met"},
    {.low = 3, .name = "B3", .meaning = "the condition of DR3 was met"},
    {.low = 11, .name = "BLD", .meaning = "a bus lock was acquired"},
    {.low = 13, .name = "BD", .meaning = "a debug register was accessed while DR7.GD was 1"},
    {.low = 14, .name = "BS", .meaning = "a single instruction or a taken branch was executed"},
    {.low = 16, .name = "RTM", .meaning = "it happened inside an RTM region"},
};

constexpr SubField kSipi[] = {{.low = 0, .width = 8, .kind = Kind::Hex, .name = "vector"}};

// SDM table 28-2.
constexpr Words kTaskSources[] = {"CALL", "IRET", "JMP", "task gate in the IDT"};
constexpr SubField kTaskSwitch[] = {
    {.low = 30, .width = 2, .kind = Kind::Choice, .name = "source", .choices = kTaskSources},
    {.low = 0, .width = 16, .kind = Kind::Hex, .name = "TSS selector", .meaning = "selector of the new task's TSS"},
};

// SDM table 28-3.
constexpr bool moves_cr(std::uint64_t q) {
    return ((q >> 4) & 3) < 2;
}
constexpr bool is_lmsw(std::uint64_t q) {
    return ((q >> 4) & 3) == 3;
}
constexpr Words kCrAccess[] = {"MOV to CR", "MOV from CR", "CLTS", "LMSW"};
constexpr Words kCrs[] = {"CR0", "CR1", "CR2", "CR3", "CR4", "", "", "", "CR8"};
constexpr Words kOperand[] = {"register operand", "memory operand"};
constexpr SubField kCrAccessFields[] = {
    {.low = 4, .width = 2, .kind = Kind::Choice, .name = "access", .choices = kCrAccess},
    {.low = 0, .width = 4, .kind = Kind::Choice, .name = "control register", .choices = kCrs},
    {.low = 8, .width = 4, .kind = Kind::Choice, .name = "register", .choices = kRegisters, .applies = moves_cr},
    {.low = 6, .kind = Kind::Choice, .name = "LMSW operand", .choices = kOperand, .applies = is_lmsw},
    {.low = 16, .width = 16, .kind = Kind::Hex, .name = "source", .meaning = "LMSW's source data", .applies = is_lmsw},
};

// SDM table 28-4.
constexpr Words kDrAccess[] = {"MOV to DR", "MOV from DR"};
constexpr Words kDrs[] = {"DR0", "DR1", "DR2", "DR3", "DR4", "DR5", "DR6", "DR7"};
constexpr SubField kDrAccessFields[] = {
    {.low = 4, .kind = Kind::Choice, .name = "direction", .choices = kDrAccess},
    {.low = 0, .width = 3, .kind = Kind::Choice, .name = "debug register", .choices = kDrs},
    {.low = 8, .width = 4, .kind = Kind::Choice, .name = "register", .choices = kRegisters},
};

// SDM table 28-5.
constexpr Words kIoSizes[] = {"1 byte", "2 bytes", "", "4 bytes"};
constexpr Words kIoDirections[] = {"OUT", "IN"};
constexpr Words kIoOperands[] = {"port in DX", "immediate port"};
constexpr SubField kIo[] = {
    {.low = 3, .kind = Kind::Choice, .name = "direction", .choices = kIoDirections},
    {.low = 16, .width = 16, .kind = Kind::Hex, .name = "port"},
    {.low = 0, .width = 3, .kind = Kind::Choice, .name = "size", .choices = kIoSizes},
    {.low = 4, .name = "string", .meaning = "INS or OUTS"},
    {.low = 5, .name = "REP", .meaning = "REP prefix"},
    {.low = 6, .kind = Kind::Choice, .name = "operand", .choices = kIoOperands},
};

constexpr SubField kMwait[] = {{.low = 0, .name = "armed", .meaning = "the monitoring hardware was armed"}};

// SDM table 28-6.
constexpr Words kApicAccess[] = {"data read",
                                 "data write",
                                 "instruction fetch",
                                 "access during event delivery",
                                 "access for monitoring",
                                 "",
                                 "",
                                 "",
                                 "",
                                 "",
                                 "guest-physical access during event delivery",
                                 "guest-physical access for monitoring or trace",
                                 "",
                                 "",
                                 "",
                                 "guest-physical access for an instruction"};
constexpr SubField kApicAccessFields[] = {
    {.low = 12, .width = 4, .kind = Kind::Choice, .name = "access", .choices = kApicAccess},
    {.low = 0, .width = 12, .kind = Kind::Hex, .name = "offset", .meaning = "in the APIC-access page"},
    {.low = 16, .name = "asynchronous", .meaning = "not part of an instruction's execution, nor of event delivery"},
};

constexpr SubField kVector[] = {{.low = 0, .width = 8, .kind = Kind::Hex, .name = "vector"}};

// SDM table 28-7.
constexpr bool linear_valid(std::uint64_t q) {
    return (q & bit(7)) != 0;
}
constexpr bool to_page(std::uint64_t q) {
    return (q & (bit(7) | bit(8))) == (bit(7) | bit(8));
}
constexpr SubField kEptViolation[] = {
    {.low = 0, .name = "read", .meaning = "the access was a data read"},
    {.low = 1, .name = "write", .meaning = "the access was a data write"},
    {.low = 2, .name = "fetch", .meaning = "the access was an instruction fetch"},
    {.low = 3, .name = "readable", .meaning = "every EPT entry on the way allows reads"},
    {.low = 4, .name = "writable", .meaning = "every EPT entry on the way allows writes"},
    {.low = 5,
     .name = "executable",
     .meaning = "every EPT entry on the way allows fetches (supervisor mode's with MBEC)"},
    {.low = 6, .name = "user-executable", .meaning = "with MBEC: every EPT entry allows fetches in user mode"},
    {.low = 7, .name = "linear address valid", .meaning = "GUEST_LINEAR_ADDRESS is defined"},
    {.low = 8,
     .name = "of the page",
     .meaning = "1: the access was to the linear address' page; 0: to a paging structure",
     .applies = linear_valid},
    {.low = 9, .name = "user-mode address", .meaning = "advanced information", .applies = to_page},
    {.low = 10, .name = "read/write page", .meaning = "advanced information", .applies = to_page},
    {.low = 11, .name = "execute-disable page", .meaning = "advanced information", .applies = to_page},
    {.low = 12, .name = "NMI unblocking by IRET", .meaning = "an IRET had unblocked NMIs when it faulted"},
    {.low = 13, .name = "shadow-stack access"},
    {.low = 14, .name = "supervisor shadow stack", .meaning = "bit 60 of the EPT entry that maps the page"},
    {.low = 15, .name = "guest-paging verification", .meaning = "it caused the violation"},
    {.low = 16, .name = "asynchronous", .meaning = "not part of an instruction's execution, nor of event delivery"},
};

constexpr SubField kApicWrite[] = {
    {.low = 0, .width = 12, .kind = Kind::Hex, .name = "offset", .meaning = "in the virtual-APIC page"}};
constexpr SubField kPmlFull[] = {{.low = 12, .name = "NMI unblocking by IRET"}, {.low = 16, .name = "asynchronous"}};
constexpr Words kSppEvents[] = {"SPPT misconfiguration", "SPPT miss"};
constexpr SubField kSpp[] = {{.low = 11, .kind = Kind::Choice, .name = "event", .choices = kSppEvents},
                             {.low = 12, .name = "NMI unblocking by IRET"},
                             {.low = 16, .name = "asynchronous"}};
constexpr SubField kNotify[] = {{.low = 0, .name = "context invalid", .meaning = "the VM's context is corrupt"},
                                {.low = 12, .name = "NMI unblocking by IRET"}};

// SDM 27.8.
constexpr Words kInvalidState[] = {"no reason given", "", "PDPTEs could not be loaded",
                                   "an NMI was to be injected while MOV SS blocked events",
                                   "invalid VMCS link pointer"};
constexpr SubField kEntryFailure[] = {
    {.low = 0, .width = 64, .kind = Kind::Choice, .name = "cause", .choices = kInvalidState}};

struct ByReason {
    std::uint16_t reason;
    Layout layout;
};
constexpr ByReason kByReason[] = {
    {4, {kSipi}},
    {5, {kIo}},
    {9, {kTaskSwitch}},
    {28, {kCrAccessFields}},
    {29, {kDrAccessFields}},
    {30, {kIo}},
    {33, {kEntryFailure}},
    {36, {kMwait}},
    {44, {kApicAccessFields}},
    {45, {kVector}},
    {48, {kEptViolation}},
    {56, {kApicWrite}},
    {62, {kPmlFull}},
    {66, {kSpp}},
    {75, {kNotify}},
};
constexpr Layout kDebugLayout = {kDebug};

struct Word {
    std::uint16_t reason;
    std::string_view word;
};
constexpr Word kWords[] = {
    {14, "linear address"},
    {19, "displacement"},
    {21, "displacement"},
    {22, "displacement"},
    {23, "displacement"},
    {25, "displacement"},
    {27, "displacement"},
    {34, "entry of the MSR-load list"},
    {46, "displacement"},
    {47, "displacement"},
    {50, "displacement"},
    {53, "displacement"},
    {58, "displacement"},
    {63, "displacement"},
    {64, "displacement"},
    {84, "MSR"},
    {85, "MSR"},
};

/// The vector of a valid hardware exception; 256 for everything else.
unsigned exception_vector(std::optional<std::uint64_t> intr_info) {
    if (!intr_info || !(*intr_info & bit(31))) return 256;
    const unsigned type = (*intr_info >> 8) & 7;
    return type == 3 || type == 5 || type == 6 ? *intr_info & 0xff : 256;
}

}  // namespace

const Layout* qualification_layout(std::uint16_t reason, std::optional<std::uint64_t> intr_info) {
    if (reason == 0) return exception_vector(intr_info) == 1 ? &kDebugLayout : nullptr;
    for (const ByReason& r : kByReason)
        if (r.reason == reason) return &r.layout;
    return nullptr;
}

std::string_view qualification_word(std::uint16_t reason, std::optional<std::uint64_t> intr_info) {
    if (reason == 0) return exception_vector(intr_info) == 14 ? "linear address" : "";
    for (const Word& w : kWords)
        if (w.reason == reason) return w.word;
    return {};
}

bool has_qualification(std::uint16_t reason) {
    // LOADIWKEY, ENQCMD and the MSR lists define one that is not taken apart here.
    constexpr std::uint16_t kOthers[] = {0, 69, 72, 73, 78, 79, 80, 81};
    for (const std::uint16_t other : kOthers)
        if (reason == other) return true;
    return exit_reason_name(reason) == "?" || qualification_layout(reason) || !qualification_word(reason).empty();
}

std::string describe_qualification(std::uint16_t reason, std::uint64_t bits, std::optional<std::uint64_t> intr_info) {
    if (const Layout* layout = qualification_layout(reason, intr_info)) return text(*layout, bits);
    const std::string_view word = qualification_word(reason, intr_info);
    if (word.empty()) return {};
    if (word == "displacement" && static_cast<std::int64_t>(bits) < 0) return fmt::format("{} -{:#x}", word, ~bits + 1);
    return fmt::format("{} {:#x}", word, bits);
}

}  // namespace vmxscope::vmx
