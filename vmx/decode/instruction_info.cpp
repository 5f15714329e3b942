#include "vmx/decode/exit_layouts.h"

namespace vmxscope::vmx {
namespace {

using Kind = SubFieldKind;
using Words = std::string_view;

constexpr Words kRegisters[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
constexpr Words kXmm[] = {"XMM0", "XMM1", "XMM2",  "XMM3",  "XMM4",  "XMM5",  "XMM6",  "XMM7",
                          "XMM8", "XMM9", "XMM10", "XMM11", "XMM12", "XMM13", "XMM14", "XMM15"};
constexpr Words kScales[] = {"no scaling", "scale 2", "scale 4", "scale 8"};
constexpr Words kAddressSizes[] = {"16-bit address", "32-bit address", "64-bit address"};
constexpr Words kSegments[] = {"ES", "CS", "SS", "DS", "FS", "GS"};
constexpr Words kMemoryOrRegister[] = {"memory", "register"};
constexpr Words kSizes16To32[] = {"16-bit operand", "32-bit operand"};
constexpr Words kSizes16To64[] = {"16-bit operand", "32-bit operand", "64-bit operand"};

constexpr bool in_register(std::uint64_t i) {
    return (i >> 10) & 1;
}
constexpr bool in_memory(std::uint64_t i) {
    return !in_register(i);
}
constexpr bool has_index(std::uint64_t i) {
    return in_memory(i) && !((i >> 22) & 1);
}
constexpr bool has_base(std::uint64_t i) {
    return in_memory(i) && !((i >> 27) & 1);
}

// The sub-fields that several formats share.
constexpr SubField kScale = {
    .low = 0, .width = 2, .kind = Kind::Choice, .name = "scaling", .choices = kScales, .applies = has_index};
constexpr SubField kReg1 = {
    .low = 3, .width = 4, .kind = Kind::Choice, .name = "Reg1", .choices = kRegisters, .applies = in_register};
constexpr SubField kAddressSize = {
    .low = 7, .width = 3, .kind = Kind::Choice, .name = "address size", .choices = kAddressSizes, .applies = in_memory};
constexpr SubField kWhere = {.low = 10, .kind = Kind::Choice, .name = "operand", .choices = kMemoryOrRegister};
constexpr SubField kSegment = {
    .low = 15, .width = 3, .kind = Kind::Choice, .name = "segment", .choices = kSegments, .applies = in_memory};
constexpr SubField kIndex = {
    .low = 18, .width = 4, .kind = Kind::Choice, .name = "index", .choices = kRegisters, .applies = has_index};
constexpr SubField kNoIndex = {.low = 22, .name = "no index", .applies = in_memory};
constexpr SubField kBase = {
    .low = 23, .width = 4, .kind = Kind::Choice, .name = "base", .choices = kRegisters, .applies = has_base};
constexpr SubField kNoBase = {.low = 27, .name = "no base", .applies = in_memory};
constexpr SubField kReg2 = {.low = 28, .width = 4, .kind = Kind::Choice, .name = "Reg2", .choices = kRegisters};

// SDM tables 28-8 to 28-14.
constexpr SubField kInsOuts[] = {
    {.low = 7, .width = 3, .kind = Kind::Choice, .name = "address size", .choices = kAddressSizes},
    {.low = 15, .width = 3, .kind = Kind::Choice, .name = "segment", .choices = kSegments}};
constexpr SubField kInvalidate[] = {kReg2, kAddressSize, kSegment, kBase, kNoBase, kIndex, kNoIndex, kScale};
constexpr Words kTableInstructions[] = {"SGDT", "SIDT", "LGDT", "LIDT"};
constexpr SubField kDescriptorTable[] = {
    {.low = 28, .width = 2, .kind = Kind::Choice, .name = "instruction", .choices = kTableInstructions},
    kAddressSize,
    {.low = 11,
     .kind = Kind::Choice,
     .name = "operand size",
     .meaning = "undefined in 64-bit mode",
     .choices = kSizes16To32},
    kSegment,
    kBase,
    kNoBase,
    kIndex,
    kNoIndex,
    kScale};
constexpr Words kSelectorInstructions[] = {"SLDT", "STR", "LLDT", "LTR"};
constexpr SubField kSelector[] = {
    {.low = 28, .width = 2, .kind = Kind::Choice, .name = "instruction", .choices = kSelectorInstructions},
    kWhere,
    kReg1,
    kAddressSize,
    kSegment,
    kBase,
    kNoBase,
    kIndex,
    kNoIndex,
    kScale};
constexpr SubField kRegisterOperand[] = {
    {.low = 3, .width = 4, .kind = Kind::Choice, .name = "register", .choices = kRegisters},
    {.low = 11, .width = 2, .kind = Kind::Choice, .name = "operand size", .choices = kSizes16To64}};
constexpr SubField kMemoryOperand[] = {kAddressSize, kSegment, kBase, kNoBase, kIndex, kNoIndex, kScale};
constexpr SubField kVmreadVmwrite[] = {kWhere, kReg1,   kReg2,  kAddressSize, kSegment,
                                       kBase,  kNoBase, kIndex, kNoIndex,     kScale};
constexpr SubField kTwoXmm[] = {{.low = 3, .width = 4, .kind = Kind::Choice, .name = "Reg1", .choices = kXmm},
                                {.low = 28, .width = 4, .kind = Kind::Choice, .name = "Reg2", .choices = kXmm}};
constexpr SubField kTwoRegisters[] = {
    {.low = 3, .width = 4, .kind = Kind::Choice, .name = "Reg1", .choices = kRegisters}, kReg2};
constexpr SubField kOneRegister[] = {
    {.low = 3, .width = 4, .kind = Kind::Choice, .name = "Reg1", .choices = kRegisters}};

struct ByReason {
    std::uint16_t reason;
    Layout layout;
};
constexpr ByReason kByReason[] = {
    {19, {kMemoryOperand}},   {21, {kMemoryOperand}},   {22, {kMemoryOperand}}, {23, {kVmreadVmwrite}},
    {25, {kVmreadVmwrite}},   {27, {kMemoryOperand}},   {30, {kInsOuts}},       {46, {kDescriptorTable}},
    {47, {kSelector}},        {50, {kInvalidate}},      {53, {kInvalidate}},    {57, {kRegisterOperand}},
    {58, {kInvalidate}},      {61, {kRegisterOperand}}, {63, {kMemoryOperand}}, {64, {kMemoryOperand}},
    {67, {kRegisterOperand}}, {68, {kRegisterOperand}}, {69, {kTwoXmm}},        {80, {kTwoRegisters}},
    {81, {kTwoRegisters}},    {84, {kOneRegister}},     {85, {kOneRegister}},
};

}  // namespace

const Layout* instruction_layout(std::uint16_t reason) {
    for (const ByReason& r : kByReason)
        if (r.reason == reason) return &r.layout;
    return nullptr;
}

}  // namespace vmxscope::vmx
