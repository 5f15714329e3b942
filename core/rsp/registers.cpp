#include "core/rsp/registers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <span>
#include <vector>

#include "core/rsp/codec.h"
#include "vmx/bits.h"

namespace vmxscope::core::rsp {

namespace {

using nested::Kind;
using nested::Transition;
using vmx::Field;
using vmx::Value;

struct Register {
    enum class From : std::uint8_t { Regs, Guest, Vmcs12, Vmcs02, Nowhere };
    std::string name;
    std::string type;
    unsigned bytes = 8;
    From from = From::Nowhere;
    std::size_t index = 0;  // in Transition::regs, or of the field in a VmcsImage
    const char* group = nullptr;
};

/// The features gdb knows by name, in the order it demands (gdb: gdb/features/i386/64bit-core.xml).
void add_core(std::vector<Register>& all) {
    constexpr const char* general[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8",
                                       "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
    for (std::size_t i = 0; i < std::size(general); ++i) {
        const bool data = i == nested::RBP || i == nested::RSP;
        all.push_back({general[i],
                       i == nested::RIP ? "code_ptr"
                       : data           ? "data_ptr"
                                        : "int64",
                       8, Register::From::Regs, i});
    }
    all.push_back({"eflags", "int32", 4, Register::From::Regs, nested::RFLAGS});
    constexpr std::pair<const char*, Field> selectors[] = {
        {"cs", Field::GUEST_CS_SELECTOR}, {"ss", Field::GUEST_SS_SELECTOR}, {"ds", Field::GUEST_DS_SELECTOR},
        {"es", Field::GUEST_ES_SELECTOR}, {"fs", Field::GUEST_FS_SELECTOR}, {"gs", Field::GUEST_GS_SELECTOR}};
    for (const auto& [name, field] : selectors)
        all.push_back({name, "int32", 4, Register::From::Guest, *vmx::index_of(field)});
    // gdb insists on the x87 registers; nothing here ever reads them.
    for (int i = 0; i < 8; ++i) all.push_back({fmt::format("st{}", i), "i387_ext", 10, Register::From::Nowhere});
    for (const char* name : {"fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"})
        all.push_back({name, "int", 4, Register::From::Nowhere, 0, "float"});
}

std::string lower(std::string_view s) {
    std::string out(s);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

/// Fields that are sets of bits get a type of their own, so that gdb prints the bits' names.
bool is_flags(Field f) {
    return !vmx::bits_of(f).empty() && vmx::bytes_of(f) >= 4;
}
std::string flags_name(Field f) {
    return lower(vmx::name_of(f)) + "_bits";
}

void add_vmcs(std::vector<Register>& all, const char* vmcs, Register::From from) {
    const auto fields = vmx::all_fields();
    for (std::size_t i = 0; i < fields.size(); ++i) {
        const Field f = fields[i].field;
        const unsigned bytes = vmx::bytes_of(f);
        const std::string type = is_flags(f) ? flags_name(f) : fmt::format("uint{}", 8 * bytes);
        all.push_back({fmt::format("{}_{}", vmcs, lower(fields[i].name)), type, bytes, from, i, vmcs});
    }
}

struct Layout {
    std::vector<Register> registers;
    std::size_t in_g = 0;                    // registers that `g` carries
    std::size_t in_core = 0, in_vmcs12 = 0;  // ends of the features
};

const Layout& layout() {
    static const Layout made = [] {
        Layout l;
        add_core(l.registers);
        l.in_core = l.registers.size();
        l.in_g = 24;  // up to gs; the x87 registers are fetched only by who asks for them
        add_vmcs(l.registers, "vmcs12", Register::From::Vmcs12);
        l.in_vmcs12 = l.registers.size();
        add_vmcs(l.registers, "vmcs02", Register::From::Vmcs02);
        return l;
    }();
    return made;
}

std::string flags_xml() {
    std::string xml;
    for (const auto& info : vmx::all_fields()) {
        if (!is_flags(info.field)) continue;
        xml += fmt::format("<flags id=\"{}\" size=\"{}\">", flags_name(info.field), vmx::bytes_of(info.field));
        for (const vmx::BitName& b : vmx::bits_of(info.field))
            xml += fmt::format("<field name=\"{0}\" start=\"{1}\" end=\"{1}\"/>", b.name, b.bit);
        xml += "</flags>";
    }
    return xml;
}

std::string feature_xml(std::string_view name, std::string_view types, std::span<const Register> registers) {
    std::string xml = fmt::format("<feature name=\"{}\">{}", name, types);
    for (const Register& r : registers) {
        const std::string group = r.group != nullptr ? fmt::format(" group=\"{}\"", r.group) : "";
        xml += fmt::format("<reg name=\"{}\" bitsize=\"{}\" type=\"{}\"{}/>", r.name, 8 * r.bytes, r.type, group);
    }
    return xml + "</feature>";
}

/// Is it L2 whose registers the transition shows? (Transition::regs: of the level that leaves, or is entered.)
bool shows_l2(Kind kind) {
    return kind == Kind::NestedEntry || kind == Kind::L2Entry || kind == Kind::L2Exit || kind == Kind::NestedExit;
}

Value value_of(const Register& r, const Transition& t) {
    switch (r.from) {
        case Register::From::Regs:
            return t.regs[r.index];
        case Register::From::Guest:
            // L1's own VMCS is in no Transition, and an older image of vmcs02 says nothing about now.
            return shows_l2(t.kind) && t.vmcs02_as_of == t.seq ? t.vmcs02_after.at_index(r.index) : Value{};
        case Register::From::Vmcs12:
            return t.vmcs12_after.at_index(r.index);
        case Register::From::Vmcs02:
            return t.vmcs02_after.at_index(r.index);
        case Register::From::Nowhere:
            break;
    }
    return {};
}

std::string hex_of(const Register& r, const Transition* t) {
    Value value = t != nullptr ? value_of(r, *t) : Value{};
    if (!value.known() && r.from == Register::From::Regs && r.index == nested::RIP) value = Value::of(kUnknownRip);
    if (!value.known()) return std::string(2 * r.bytes, 'x');
    std::string bytes;
    for (unsigned i = 0; i < r.bytes; ++i) bytes += static_cast<char>(value.bits >> (8 * i));
    return to_hex(bytes);
}

}  // namespace

const std::string& target_xml() {
    static const std::string xml = [] {
        const Layout& l = layout();
        const std::span<const Register> all = l.registers;
        return "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
               "<architecture>i386:x86-64</architecture>" +
               feature_xml("org.gnu.gdb.i386.core", "", all.first(l.in_core)) +
               feature_xml("org.vmxscope.vmcs12", flags_xml(), all.subspan(l.in_core, l.in_vmcs12 - l.in_core)) +
               feature_xml("org.vmxscope.vmcs02", flags_xml(), all.subspan(l.in_vmcs12)) + "</target>";
    }();
    return xml;
}

std::optional<std::string> register_hex(std::size_t number, const Transition* t) {
    const auto& registers = layout().registers;
    if (number >= registers.size()) return {};
    return hex_of(registers[number], t);
}

std::string general_registers_hex(const Transition* t) {
    std::string hex;
    for (std::size_t i = 0; i < layout().in_g; ++i) hex += hex_of(layout().registers[i], t);
    return hex;
}

}  // namespace vmxscope::core::rsp
