// The objects that are read by name (qXfer): gdb's own, and this project's.
#include <fmt/format.h>

#include "core/rsp/objects.h"
#include "core/rsp/session.h"
#include "core/transition_json.h"
#include "nested/transition_codec.h"

namespace vmxscope::core::rsp {

namespace {

/// What those who only look do without.
constexpr Abilities kDriving{Ability::Back,    Ability::Record, Ability::Evidence,
                             Ability::NonStop, Ability::Write,  Ability::Breakpoints};

std::string as_string(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::optional<std::uint32_t> vcpu_id(std::string_view digits) {
    const auto id = parse_decimal(digits);
    if (!id || *id > 0xffffffff) return {};
    return static_cast<std::uint32_t>(*id);
}

/// Drops `prefix` from the start of `text`; false when it is not there.
bool drop(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

}  // namespace

std::string Session::threads_xml() {
    std::string xml = "<?xml version=\"1.0\"?><threads>";
    const auto vcpus = target_->vcpus();
    for (const Vcpu& v : vcpus ? *vcpus : std::vector<Vcpu>{})
        if (v.state != VcpuState::Gone)
            xml += fmt::format("<thread id=\"{}\" name=\"{}\">{}</thread>", thread_text(v.id, multiprocess_),
                               thread_name(v), thread_description(v));
    return xml + "</threads>";
}

/// `info os` in gdb: the guest is the one process, its vCPUs are the threads.
Result<std::string> Session::osdata_xml(std::string_view type) {
    if (type.empty()) return osdata_types_xml();
    if (type == "processes") return osdata_processes_xml(target_->info());
    if (type == "threads") return target_->vcpus().map(osdata_threads_xml);
    return fail(fmt::format("There is no table '{}' here. There is: processes, threads.", type));
}

Result<std::string> Session::object(const Xfer& asked) {
    if (asked.object == "features" && asked.annex == "target.xml") {
        registers_.reset();  // by now more may be known of what there is
        return registers().target_xml();
    }
    if (asked.object == "threads" && asked.annex.empty()) return threads_xml();
    if (asked.object == "osdata") return osdata_xml(asked.annex);
    if (asked.object == "vmx") return vmx_object(asked.annex);
    return fail(fmt::format("There is no object '{}' named '{}' to read here.", asked.object, asked.annex));
}

Result<std::string> Session::vmx_object(std::string_view name) {
    if (name == "info") return info_object();
    if (name == "abilities") return abilities_text(drives_ ? target_->abilities() : target_->abilities().without(kDriving));
    if (name == "ledger") return target_->ledger().map(ledger_text);
    if (name == "vcpus") return target_->vcpus().map(vcpus_text);
    if (name == "history") return target_->history().map(history_text);
    if (name == "capabilities") return target_->capabilities().map(capabilities_text);
    std::string_view rest = name;
    if (drop(rest, "memory/")) return memory_object(rest);
    if (drop(rest, "ept02/")) return ept02_object(rest);
    if (drop(rest, "msr-bitmap/")) return msr_bitmap_object(rest);
    if (drop(rest, "past/")) return past_object(rest);
    const bool as_json = drop(rest, "json/");
    if (!as_json && !drop(rest, "transition/"))
        return fail(fmt::format("There is no object 'vmx' named '{}' to read here.", name));
    const auto seq = parse_decimal(rest);
    if (!seq) return fail(fmt::format("'{}' is not the number of a transition.", rest));
    const auto t = target_->transition(*seq);
    if (!t) return tl::unexpected(t.error());
    return as_json ? to_line(to_full_json(*t)) : nested::encode(*t);
}

std::string Session::info_object() {
    TargetInfo info = target_->info();
    if (!drives_) info.notes.push_back(only_looks());
    return info_text(info);
}

Result<std::string> Session::past_object(std::string_view number) {
    const auto seq = parse_decimal(number);
    if (!seq) return fail(fmt::format("'{}' is not the number of a transition.", number));
    return target_->past(*seq).map(as_string);
}

/// VCPU/SPACE/ADDRESS/SIZE, the latter two in hexadecimal.
Result<std::string> Session::memory_object(std::string_view arguments) {
    std::string_view rest = arguments;
    const auto vcpu = vcpu_id(take_until(rest, '/'));
    const auto space = space_by_name(take_until(rest, '/'));
    const auto address = parse_hex(take_until(rest, '/'));
    const auto size = parse_hex(rest);
    if (!vcpu || !space || !address || !size)
        return fail(fmt::format("'{}' is not VCPU/SPACE/ADDRESS/SIZE.", arguments));
    if (*size == 0 || *size > kMostMemory)
        return fail(fmt::format("Memory is read in pieces of 1 to {} bytes; {} were asked for.", kMostMemory, *size));
    return target_->read_memory(*vcpu, *space, *address, *size).map(as_string);
}

Result<std::string> Session::msr_bitmap_object(std::string_view arguments) {
    std::string_view rest = arguments;
    const auto vcpu = vcpu_id(take_until(rest, '/'));
    if (!vcpu || (rest != "vmcs01" && rest != "vmcs02"))
        return fail(fmt::format("'{}' is not VCPU/vmcs01 or vmcs02.", arguments));
    const auto which = rest == "vmcs01" ? Target::HardwareVmcs::Vmcs01 : Target::HardwareVmcs::Vmcs02;
    return target_->msr_bitmap(*vcpu, which).map(as_string);
}

/// VCPU/GPA, the latter in hexadecimal.
Result<std::string> Session::ept02_object(std::string_view arguments) {
    std::string_view rest = arguments;
    const auto vcpu = vcpu_id(take_until(rest, '/'));
    const auto address = parse_hex(rest);
    if (!vcpu || !address) return fail(fmt::format("'{}' is not VCPU/ADDRESS.", arguments));
    return target_->ept02_walk(*vcpu, *address).map(walk_text);
}

Session::Reply Session::transfer(std::string_view request) {
    const auto asked = parse_xfer(request);
    if (!asked) return error("A qXfer packet has not the form qXfer:OBJECT:read:NAME:OFFSET,LENGTH.");
    // One object is kept while it is read in pieces, so that all pieces are of one moment.
    const std::string name = fmt::format("{}:{}", asked->object, asked->annex);
    if (asked->offset == 0 || name != transfer_name_) {
        auto data = object(*asked);
        if (!data) return error(data.error());
        transfer_name_ = name;
        transfer_data_ = std::move(*data);
    }
    return xfer_reply(transfer_data_, *asked);
}

}  // namespace vmxscope::core::rsp
