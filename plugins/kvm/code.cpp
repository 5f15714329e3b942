#include "plugins/kvm/code.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <utility>

namespace vmxscope::kvm {
namespace {

/// Decodes straight on; `visit(instruction, operands, offset)` returning false ends it. Returns the skipped bytes.
template <typename Visit>
std::size_t decode(std::span<const std::byte> code, Visit visit) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecodedInstruction instruction;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
    std::size_t at = 0, skipped = 0;
    while (at < code.size()) {
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.data() + at, code.size() - at, &instruction, operands.data()))) {
            ++at;
            ++skipped;
            continue;
        }
        if (!visit(instruction, operands, at)) break;
        at += instruction.length;
    }
    return skipped;
}

std::optional<std::uint8_t> gpr(ZydisRegister r) {
    const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
    if (whole < ZYDIS_REGISTER_RAX || whole > ZYDIS_REGISTER_R15) return std::nullopt;
    return static_cast<std::uint8_t>(whole - ZYDIS_REGISTER_RAX);  // Zydis counts as the encoding does
}

/// Where the direct jumps of `code` lead, ordered: there a register may hold what another path left in it. (Indirect
/// ones are not followed: kernels with retpolines are built without jump tables.)
std::vector<std::size_t> jump_targets(std::span<const std::byte> code) {
    std::vector<std::size_t> out;
    decode(code, [&](const auto& i, const auto& operands, std::size_t at) {
        ZyanU64 to = 0;
        const bool jump = i.meta.category == ZYDIS_CATEGORY_COND_BR || i.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
        if (jump && operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&i, &operands[0], at, &to)) &&
            to < code.size())
            out.push_back(to);
        return true;
    });
    std::sort(out.begin(), out.end());
    return out;
}

/// Which constant each register holds, as far as straight-line decoding tells. KVM's accessors move the encoding into a
/// register just before the instruction; a register that anything else writes is forgotten, and all are where paths meet.
class Constants {
  public:
    std::optional<std::uint16_t> of(std::uint8_t r) const { return value_[r]; }
    void forget() { value_ = {}; }

    void after(const ZydisDecodedInstruction& i, const std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT>& operands) {
        if (i.meta.category == ZYDIS_CATEGORY_CALL || i.meta.category == ZYDIS_CATEGORY_RET ||
            i.meta.category == ZYDIS_CATEGORY_UNCOND_BR) {
            forget();
            return;
        }
        for (std::size_t n = 0; n < i.operand_count; ++n) {
            const ZydisDecodedOperand& o = operands[n];
            if (o.type != ZYDIS_OPERAND_TYPE_REGISTER || !(o.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)) continue;
            if (const auto r = gpr(o.reg.value)) value_[*r] = moved_constant(i, operands);
        }
    }

  private:
    static std::optional<std::uint16_t> moved_constant(const ZydisDecodedInstruction& i,
                                                       const std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT>& operands) {
        if (i.mnemonic != ZYDIS_MNEMONIC_MOV || operands[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || operands[0].size < 32 ||
            operands[1].imm.value.u > 0xffff)
            return std::nullopt;
        return static_cast<std::uint16_t>(operands[1].imm.value.u);
    }

    std::array<std::optional<std::uint16_t>, 16> value_{};
};

}  // namespace

VmcsAccesses find_vmcs_accesses(std::span<const std::byte> code) {
    VmcsAccesses out;
    Constants constants;
    const auto joins = jump_targets(code);
    out.undecodable = decode(code, [&](const auto& i, const auto& operands, std::size_t at) {
        if (std::binary_search(joins.begin(), joins.end(), at)) constants.forget();
        if (i.mnemonic == ZYDIS_MNEMONIC_VMREAD || i.mnemonic == ZYDIS_MNEMONIC_VMWRITE) {
            // VMREAD r/m, field · VMWRITE field, r/m
            const bool write = i.mnemonic == ZYDIS_MNEMONIC_VMWRITE;
            const ZydisDecodedOperand& field = operands[write ? 0 : 1];
            const ZydisDecodedOperand& value = operands[write ? 1 : 0];
            const bool in_memory = value.type != ZYDIS_OPERAND_TYPE_REGISTER;
            const std::uint8_t r = gpr(field.reg.value).value_or(0);
            const std::uint8_t v = in_memory ? std::uint8_t{0} : gpr(value.reg.value).value_or(0);
            out.found.push_back({at, write, r, v, constants.of(r), in_memory});
        }
        constants.after(i, operands);
        return true;
    });
    return out;
}

bool may_access_vmcs(std::span<const std::byte> code) {
    constexpr std::byte kEscape{0x0f}, kVmread{0x78}, kVmwrite{0x79};
    return std::adjacent_find(code.begin(), code.end(), [](std::byte a, std::byte b) {
               return a == kEscape && (b == kVmread || b == kVmwrite);
           }) != code.end();
}

std::optional<std::uint64_t> find_call(std::span<const std::byte> code, std::uint64_t address, std::uint64_t target) {
    std::optional<std::uint64_t> found;
    decode(code, [&](const auto& i, const auto& operands, std::size_t at) {
        ZyanU64 to = 0;
        if (i.mnemonic == ZYDIS_MNEMONIC_CALL && operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
            ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&i, &operands[0], address + at, &to)) && to == target)
            found = at;
        return !found;
    });
    return found;
}

}  // namespace vmxscope::kvm
