// The packets that change the guest. Whether that is allowed is the Target's to say.
#include <fmt/format.h>

#include <span>

#include "core/rsp/session.h"

namespace vmxscope::core::rsp {

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

std::optional<std::uint64_t> little_endian(std::string_view bytes) {
    if (bytes.empty() || bytes.size() > 8) return {};
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

}  // namespace

Session::Reply Session::write_registers(std::string_view) {
    return error("Registers are written one by one, and only fields of vmcs12 and vmcs02.");
}

/// "N=BYTES", of a field of vmcs12 or vmcs02.
Session::Reply Session::write_register(std::string_view assignment) {
    const std::string_view digits = take_until(assignment, '=');
    const auto number = parse_hex(digits);
    const auto bytes = from_hex(assignment);
    const auto value = bytes ? little_endian(*bytes) : std::nullopt;
    if (!number || !registers().hex(*number, nullptr)) return error(fmt::format("There is no register '{}'.", digits));
    const auto field = registers().field_at(*number);
    if (!field)
        return error("This register cannot be written: KVM has the guest's registers in a cache of its own. Fields of vmcs12 and "
                     "vmcs02 can be, and memory.");
    if (!value || bytes->size() != vmx::bytes_of(field->field))
        return error(fmt::format("{} takes {} bytes.", vmx::name_of(field->field), vmx::bytes_of(field->field)));
    auto written = target_->write_field(selected_vcpu(), field->vmcs, field->field, *value);
    return written ? std::string("OK") : error(written.error());
}

Session::Reply Session::write_memory_hex(std::string_view arguments) {
    const std::string_view place = take_until(arguments, ':');
    const auto bytes = from_hex(arguments);
    if (!bytes) return error("What is to be written is not hexadecimal.");
    return write_memory(place, bytes_of(*bytes));
}

Session::Reply Session::write_memory_bytes(std::string_view arguments) {
    const std::string_view place = take_until(arguments, ':');
    return write_memory(place, bytes_of(arguments));
}

/// `place` is "ADDRESS,SIZE", in the space that `m` reads. gdb asks with no bytes whether it may.
Session::Reply Session::write_memory(std::string_view place, const std::vector<std::byte>& bytes) {
    const auto address = parse_hex(take_until(place, ','));
    const auto size = parse_hex(place);
    if (!address || !size || *size != bytes.size())
        return error("A write of memory has not the form ADDRESS,SIZE: and so many bytes.");
    if (bytes.empty()) return "OK";
    const auto vcpu = find_vcpu(selected_vcpu());
    if (!vcpu) return error(vcpu.error());
    auto written = target_->write_memory(vcpu->id, space_of(*vcpu), *address, bytes);
    return written ? std::string("OK") : error(written.error());
}

/// "memory/VCPU/SPACE/ADDRESS/BYTES" or "field/VCPU/VMCS/ENCODING/VALUE": the vCPU decimal, the rest hexadecimal.
Session::Reply Session::write_own(std::string_view text) {
    std::string_view rest = text;
    const std::string_view what = take_until(rest, '/');
    const auto id = parse_decimal(take_until(rest, '/'));
    const std::string_view where = take_until(rest, '/');
    const auto place = parse_hex(take_until(rest, '/'));
    const auto vcpu = id && *id <= 0xffffffff ? find_vcpu(static_cast<std::uint32_t>(*id)) : fail("There is no such vCPU.");
    Result<void> written = fail(fmt::format("'{}' is neither memory/VCPU/SPACE/ADDRESS/BYTES nor field/VCPU/VMCS/ENCODING/VALUE.",
                                            text.substr(0, 64)));
    if (!vcpu) {
        written = tl::unexpected(vcpu.error());
    } else if (what == "memory") {
        const auto space = space_by_name(where);
        const auto bytes = from_hex(rest);
        if (space && place && bytes && !bytes->empty() && bytes->size() <= kMostWritten)
            written = target_->write_memory(vcpu->id, *space, *place, bytes_of(*bytes));
    } else if (what == "field") {
        const auto vmcs = written_vmcs_by_name(where);
        const auto value = parse_hex(rest);
        const bool known = place && *place <= 0xffff && vmx::index_of(static_cast<vmx::Field>(*place));
        if (vmcs && value && known) written = target_->write_field(vcpu->id, *vmcs, static_cast<vmx::Field>(*place), *value);
    }
    return written ? std::string("OK") : error(written.error());
}

/// A line for each write.
std::string Session::monitor_ledger() {
    const auto writes = target_->ledger();
    if (!writes) return writes.error().text() + "\n";
    const auto hex = [](const std::vector<std::byte>& bytes) {
        return to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    std::string text;
    for (const Write& w : *writes)
        text += fmt::format("{:>3}  vCPU {}, transition {}: {}: {} -> {}{}\n", w.number, w.vcpu, w.seq, w.what, hex(w.before),
                            hex(w.wanted), w.after == w.wanted ? "" : ", and read back was " + hex(w.after));
    return text.empty() ? "Nothing has been written.\n" : text;
}

}  // namespace vmxscope::core::rsp
