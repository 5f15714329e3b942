#include <fmt/format.h>

#include "vmx/bits.h"
#include "vmx/decode/field_layouts.h"
#include "vmx/decode/words.h"

namespace vmxscope::vmx {
namespace {

/// SDM table 25-2, shorter than its layout would say it.
std::string describe_access_rights(std::uint64_t ar) {
    if (ar & (1u << 16)) return "unusable";
    const unsigned type = ar & 15;
    std::string text;
    if (!(ar & (1u << 4)))
        text = type == 2    ? "LDT"
               : type == 11 ? "busy TSS"
               : type == 3  ? "busy 16-bit TSS"
                            : fmt::format("type {}", type);
    else if (type & 8)
        text = type & 2 ? "code RX" : "code X";
    else
        text = type & 2 ? "data RW" : "data R";
    text += fmt::format(" DPL{}", (ar >> 5) & 3);
    constexpr BitName kMore[] = {{7, "P"}, {13, "L"}, {14, "DB"}, {15, "G"}};
    const std::string more = join_bits(kMore, ar, ~0ULL);
    return more.empty() ? text : text + " " + more;
}

/// SDM tables 25-17 (event injection), 25-20 (exit) and 25-21 (IDT vectoring), which share their format.
std::string describe_event(std::uint64_t info) {
    if (!(info & (1ULL << 31))) return "none";
    constexpr std::string_view kTypes[] = {"external interrupt", "reserved",           "NMI",
                                           "hardware exception", "software interrupt", "privileged software exception",
                                           "software exception", "other event"};
    const unsigned vector = info & 0xff, type = (info >> 8) & 7;
    return fmt::format("vector {}, {}{}", vector, kTypes[type], info & (1u << 11) ? ", with error code" : "");
}

/// SDM table 25-9.
std::string describe_eptp(std::uint64_t eptp) {
    const unsigned type = eptp & 7;
    return fmt::format("{} levels, {}{}{}, table at {:#x}", ((eptp >> 3) & 7) + 1,
                       type == 6   ? "WB"
                       : type == 0 ? "UC"
                                   : fmt::format("memory type {}", type),
                       eptp & (1u << 6) ? ", A/D" : "", eptp & (1u << 7) ? ", SSS" : "", eptp & ~0xfffULL);
}

std::string describe_selector(std::uint64_t selector) {
    if ((selector & ~3ULL) == 0) return "null";
    return fmt::format("{} {}, RPL {}", selector & 4 ? "LDT" : "GDT", selector >> 3, selector & 3);
}

bool is_selector(Field f) {
    return layout_of(f) == layout_of(Field::GUEST_ES_SELECTOR) || f == Field::GUEST_SYSENTER_CS ||
           f == Field::HOST_IA32_SYSENTER_CS;
}

bool is_access_rights(Field f) {
    return layout_of(f) == layout_of(Field::GUEST_ES_AR_BYTES);
}

}  // namespace

std::string describe(Field f, std::uint64_t value) {
    if (!bits_of(f).empty()) return join_bits(bits_of(f), value, silent_bits(f));
    const Layout* layout = layout_of(f);
    if (!layout) return describe_word(f, value);
    if (is_access_rights(f)) return describe_access_rights(value);
    if (is_selector(f)) return describe_selector(value);
    switch (f) {
        case Field::VM_ENTRY_INTR_INFO_FIELD:
        case Field::VM_EXIT_INTR_INFO:
        case Field::IDT_VECTORING_INFO_FIELD: return describe_event(value);
        case Field::EPT_POINTER: return describe_eptp(value);
        default: return text(*layout, value);
    }
}

}  // namespace vmxscope::vmx
