#include "core/rsp/registers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "core/rsp/codec.h"
#include "vmx/bits.h"

namespace vmxscope::core::rsp {

using nested::Kind;
using nested::Transition;
using vmx::Field;
using vmx::Value;

struct Registers::Register {
    enum class From : std::uint8_t { Regs, Guest, Field, Structure, Nowhere };
    std::string name;
    std::string type;
    unsigned bytes = 8;
    From from = From::Nowhere;
    std::size_t index = 0;  // in Transition::regs, or of the field in a VmcsImage
    const char* group = nullptr;
    ShownVmcs vmcs = ShownVmcs::Vmcs12;     // of Field and Structure
    std::vector<std::size_t> members = {};  // of Structure: fields, in order
};

struct Registers::Layout {
    std::vector<Register> registers;
    std::string types;     // of all that is not the processor's own
    std::size_t in_g = 0;  // registers that `g` carries
    std::size_t in_core = 0;

    void add_core();
    void add_field(ShownVmcs vmcs, std::size_t index);
    void add_structures(ShownVmcs vmcs, const std::bitset<vmx::kFieldCount>& members);
};

namespace {

constexpr const char* kVmcsNames[kShownVmcs] = {"vmcs01", "vmcs12", "vmcs02"};
const char* name_of(ShownVmcs v) {
    return kVmcsNames[static_cast<std::size_t>(v)];
}

std::string lower(std::string_view s) {
    std::string out(s);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}
std::string member_name(Field f) {
    return lower(vmx::name_of(f));
}

/// Fields that are sets of bits get types of their own, so that gdb prints the bits' names.
bool is_flags(Field f) {
    return !vmx::bits_of(f).empty() && vmx::bytes_of(f) >= 4;
}
std::string type_of(Field f) {
    return is_flags(f) ? member_name(f) + "_flags" : fmt::format("uint{}", 8 * vmx::bytes_of(f));
}
std::string bits_type_of(Field f) {
    return member_name(f) + "_bits";
}

/// A bit's name as a member's, which has to be an identifier: "IOPL.0" and "#PF" are none.
std::string bit_member(std::string_view name) {
    std::string out;
    for (const char c : name) {
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_')
            out += c;
        else if (!out.empty())
            out += '_';
    }
    return out;
}

/// Each set of bits twice: <flags> print and compute, <struct> with bit fields have members.
std::string set_types() {
    std::string xml;
    for (const auto& info : vmx::all_fields()) {
        if (!is_flags(info.field)) continue;
        const unsigned bytes = vmx::bytes_of(info.field);
        std::string flags, bits;
        for (const vmx::BitName& b : vmx::bits_of(info.field)) {
            flags += fmt::format("<field name=\"{0}\" start=\"{1}\" end=\"{1}\"/>", b.name, b.bit);
            bits += fmt::format("<field name=\"{0}\" start=\"{1}\" end=\"{1}\"/>", bit_member(b.name), b.bit);
        }
        xml += fmt::format("<flags id=\"{}\" size=\"{}\">{}</flags>", type_of(info.field), bytes, flags);
        xml += fmt::format("<struct id=\"{}\" size=\"{}\">{}</struct>", bits_type_of(info.field), bytes, bits);
    }
    return xml;
}

/// Is it L2 whose registers the transition shows? (Transition::regs: of the level that leaves, or is entered.)
bool shows_l2(Kind kind) {
    return kind == Kind::NestedEntry || kind == Kind::L2Entry || kind == Kind::L2Exit || kind == Kind::NestedExit;
}

const vmx::VmcsImage& image_of(const Transition& t, ShownVmcs vmcs) {
    switch (vmcs) {
        case ShownVmcs::Vmcs01: return t.vmcs01;
        case ShownVmcs::Vmcs12: return t.vmcs12_after;
        case ShownVmcs::Vmcs02: break;
    }
    return t.vmcs02_after;
}

std::string hex_of(const Value& value, unsigned bytes) {
    if (!value.known()) return std::string(2 * bytes, 'x');
    std::string raw;
    for (unsigned i = 0; i < bytes; ++i) raw += static_cast<char>(value.bits >> (8 * i));
    return to_hex(raw);
}

}  // namespace

/// The features gdb knows by name, in the order it demands (gdb: gdb/features/i386/64bit-core.xml).
void Registers::Layout::add_core() {
    auto& all = registers;
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
    in_g = 24;  // up to gs; the x87 registers are fetched only by who asks for them
    in_core = all.size();
}

void Registers::Layout::add_field(ShownVmcs vmcs, std::size_t index) {
    const Field f = vmx::all_fields()[index].field;
    registers.push_back({fmt::format("{}_{}", name_of(vmcs), member_name(f)), type_of(f), vmx::bytes_of(f),
                         Register::From::Field, index, name_of(vmcs), vmcs});
}

/// $vmcs12 and $vmcs12_bits, and their types. A structure without members is left out: gdb knows none.
void Registers::Layout::add_structures(ShownVmcs vmcs, const std::bitset<vmx::kFieldCount>& members) {
    Register whole{name_of(vmcs), fmt::format("{}_t", name_of(vmcs)), 0, Register::From::Structure, 0, name_of(vmcs),
                   vmcs};
    Register bits{fmt::format("{}_bits", name_of(vmcs)),
                  fmt::format("{}_bits_t", name_of(vmcs)),
                  0,
                  Register::From::Structure,
                  0,
                  name_of(vmcs),
                  vmcs};
    std::string in_whole, in_bits;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        if (!members[i]) continue;
        const Field f = vmx::all_fields()[i].field;
        const auto add = [&](Register& to, std::string& xml, const std::string& type) {
            xml += fmt::format("<field name=\"{}\" type=\"{}\"/>", member_name(f), type);
            to.bytes += vmx::bytes_of(f);
            to.members.push_back(i);
        };
        add(whole, in_whole, type_of(f));
        if (is_flags(f)) add(bits, in_bits, bits_type_of(f));
    }
    for (auto& [structure, xml] : {std::pair{&whole, &in_whole}, std::pair{&bits, &in_bits}}) {
        if (structure->members.empty()) continue;
        types += fmt::format("<struct id=\"{}\">{}</struct>", structure->type, *xml);
        registers.push_back(std::move(*structure));
    }
}

Registers::Registers(const MemberFields& members) {
    auto l = std::make_shared<Layout>();
    l->types = set_types();
    l->add_core();
    for (const ShownVmcs vmcs : {ShownVmcs::Vmcs12, ShownVmcs::Vmcs02})
        for (std::size_t i = 0; i < vmx::kFieldCount; ++i) l->add_field(vmcs, i);
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i)
        if (members[ShownVmcs::Vmcs01][i]) l->add_field(ShownVmcs::Vmcs01, i);
    for (const ShownVmcs vmcs : {ShownVmcs::Vmcs12, ShownVmcs::Vmcs02, ShownVmcs::Vmcs01})
        l->add_structures(vmcs, members[vmcs]);
    layout_ = l;

    xml_ =
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
        "<architecture>i386:x86-64</architecture><feature name=\"org.gnu.gdb.i386.core\">";
    for (std::size_t i = 0; i < l->registers.size(); ++i) {
        // One feature for all VMCSs, as they share their types.
        if (i == l->in_core) xml_ += "</feature><feature name=\"org.vmxscope.vmcs\">" + l->types;
        const Register& r = l->registers[i];
        const std::string group = r.group != nullptr ? fmt::format(" group=\"{}\"", r.group) : "";
        xml_ += fmt::format("<reg name=\"{}\" bitsize=\"{}\" type=\"{}\"{}/>", r.name, 8 * r.bytes, r.type, group);
    }
    xml_ += "</feature></target>";
}

std::optional<std::string> Registers::hex(std::size_t number, const Transition* t) const {
    if (number >= layout_->registers.size()) return {};
    const Register& r = layout_->registers[number];
    const std::string unavailable(2 * r.bytes, 'x');
    switch (r.from) {
        case Register::From::Regs: {
            const Value value = t != nullptr ? t->regs[r.index] : Value{};
            const bool filled = !value.known() && r.index == nested::RIP;
            return hex_of(filled ? Value::of(kUnknownRip) : value, r.bytes);
        }
        case Register::From::Guest: {
            // L1's own segments are in no Transition, and an older image of vmcs02 says nothing about now.
            const bool here = t != nullptr && shows_l2(t->kind) && t->vmcs02_as_of == t->seq;
            return here ? hex_of(t->vmcs02_after.at_index(r.index), r.bytes) : unavailable;
        }
        case Register::From::Field:
            return t != nullptr ? hex_of(image_of(*t, r.vmcs).at_index(r.index), r.bytes) : unavailable;
        case Register::From::Structure: {
            std::string all;
            for (const std::size_t i : r.members) {
                const Value value = t != nullptr ? image_of(*t, r.vmcs).at_index(i) : Value{};
                if (!value.known()) return unavailable;
                all += hex_of(value, vmx::bytes_of(vmx::all_fields()[i].field));
            }
            return all;
        }
        case Register::From::Nowhere: break;
    }
    return unavailable;
}

std::string Registers::general_hex(const Transition* t) const {
    std::string all;
    for (std::size_t i = 0; i < layout_->in_g; ++i) all += *hex(i, t);
    return all;
}

std::optional<Registers::OneField> Registers::field_at(std::size_t number) const {
    if (number >= layout_->registers.size()) return {};
    const Register& r = layout_->registers[number];
    if (r.from != Register::From::Field || r.vmcs == ShownVmcs::Vmcs01) return {};
    return OneField{r.vmcs == ShownVmcs::Vmcs12 ? WrittenVmcs::Vmcs12 : WrittenVmcs::Vmcs02,
                    vmx::all_fields()[r.index].field};
}

}  // namespace vmxscope::core::rsp
