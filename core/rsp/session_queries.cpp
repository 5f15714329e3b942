// The packets that ask and change nothing: handshake, threads, registers, objects.
#include <fmt/format.h>

#include <algorithm>

#include "core/rsp/objects.h"
#include "core/rsp/registers.h"
#include "core/rsp/session.h"
#include "nested/transition_codec.h"

namespace vmxscope::core::rsp {

/// Longer names before their prefixes; a name that takes arguments includes the mark that ends it.
const Session::Command Session::kCommands[] = {
    {"qSupported", true, &Session::supported},
    {"vMustReplyEmpty", false, &Session::must_reply_empty},
    {"QStartNoAckMode", false, &Session::start_no_ack},
    {"QEnableErrorStrings", false, &Session::enable_error_strings},
    {"QNonStop:", true, &Session::non_stop},
    {"qAttached", true, &Session::attached},
    {"qHostInfo", false, &Session::host_info},
    {"qProcessInfo", false, &Session::process_info},
    {"qC", false, &Session::current_thread},
    {"H", true, &Session::select_thread},
    {"T", true, &Session::thread_alive},
    {"qfThreadInfo", false, &Session::first_threads},
    {"qsThreadInfo", false, &Session::more_threads},
    {"qThreadExtraInfo,", true, &Session::thread_extra},
    {"qThreadStopInfo", true, &Session::thread_stop_info},
    {"g", false, &Session::read_registers},
    {"p", true, &Session::read_register},
    {"G", true, &Session::write_refused},
    {"P", true, &Session::write_refused},
    {"M", true, &Session::write_refused},
    {"X", true, &Session::write_refused},
    {"m", true, &Session::read_memory},
    {"?", false, &Session::last_stop},
    {"vCont?", false, &Session::vcont_actions},
    {"vCont", true, &Session::vcont},
    {"c", true, &Session::continue_all},
    {"C", true, &Session::continue_all},
    {"s", true, &Session::step_one},
    {"S", true, &Session::step_one},
    {"bs", false, &Session::step_back},
    {"bc", false, &Session::continue_back},
    {"vCtrlC", false, &Session::interrupt_packet},
    {"QVmxStep:", true, &Session::step_kind},
    {"QVmxEvidence:", true, &Session::evidence_scope},
    {"QVmxRecord:", true, &Session::record_settings},
    {"D", true, &Session::detach},
    {"vKill;", true, &Session::kill_process},
    {"k", false, &Session::kill},
    {"qXfer:", true, &Session::transfer},
    {"qRcmd,", true, &Session::monitor},
};

Session::Reply Session::dispatch(std::string_view packet) {
    for (const Command& c : kCommands) {
        const bool found = c.takes_arguments ? packet.starts_with(c.name) : packet == c.name;
        if (found) return (this->*c.handler)(packet.substr(c.name.size()));
    }
    return std::string{};
}

Session::Reply Session::supported(std::string_view features) {
    if (features.starts_with(':')) features.remove_prefix(1);
    while (!features.empty()) {
        const std::string_view feature = take_until(features, ';');
        if (feature == "multiprocess+") multiprocess_ = true;
        if (feature == "vmx+") vmx_ = true;
    }
    return fmt::format(
        "PacketSize={:x};multiprocess+;QStartNoAckMode+;vContSupported+;qXfer:features:read+;qXfer:threads:read+;{}vmx+",
        kMaxPacket, target_->can(Ability::Back) ? "ReverseStep+;ReverseContinue+;" : "");
}

Session::Reply Session::must_reply_empty(std::string_view) {
    return std::string{};
}

Session::Reply Session::start_no_ack(std::string_view) {
    connection_.stop_acks();
    return "OK";
}

Session::Reply Session::enable_error_strings(std::string_view) {
    error_strings_ = true;
    return "OK";
}

Session::Reply Session::non_stop(std::string_view mode) {
    if (mode == "0") return "OK";
    return error("Non-stop mode is not served: when one vCPU stops, all stop.");
}

Session::Reply Session::attached(std::string_view) {
    return "1";
}

namespace {

/// Without these two, lldb 14 looks for a kernel in memory, 512 bytes at a time, for minutes.
std::string machine() {
    return fmt::format("triple:{};ptrsize:8;endian:little;", to_hex("x86_64-unknown-unknown"));
}

}  // namespace

Session::Reply Session::host_info(std::string_view) {
    return machine();
}
Session::Reply Session::process_info(std::string_view) {
    return fmt::format("pid:{:x};{}", kProcess, machine());
}

Session::Reply Session::current_thread(std::string_view) {
    return "QC" + thread_text(selected_vcpu(), multiprocess_);
}

Session::Reply Session::select_thread(std::string_view arguments) {
    if (arguments.empty()) return error("An H packet names no operation.");
    const auto id = parse_thread(arguments.substr(1));
    if (!id) return error(fmt::format("There is no thread '{}'.", arguments.substr(1)));
    auto& thread = arguments.front() == 'c' ? step_thread_ : selected_;
    if (id->which != ThreadId::Which::One) {
        if (arguments.front() == 'c') thread.reset();
        return "OK";
    }
    if (auto vcpu = find_vcpu(id->vcpu); !vcpu) return error(vcpu.error());
    thread = id->vcpu;
    return "OK";
}

Session::Reply Session::thread_alive(std::string_view text) {
    const auto id = parse_thread(text);
    if (!id || id->which != ThreadId::Which::One) return error(fmt::format("There is no thread '{}'.", text));
    const auto vcpu = find_vcpu(id->vcpu);
    return vcpu ? std::string("OK") : error(vcpu.error());
}

Session::Reply Session::first_threads(std::string_view) {
    const auto vcpus = target_->vcpus();
    if (!vcpus) return error(vcpus.error());
    std::string list;
    for (const Vcpu& v : *vcpus)
        if (v.state != VcpuState::Gone) list += (list.empty() ? "m" : ",") + thread_text(v.id, multiprocess_);
    return list.empty() ? "l" : list;
}

Session::Reply Session::more_threads(std::string_view) {
    return "l";
}

Session::Reply Session::thread_extra(std::string_view text) {
    const auto id = parse_thread(text);
    if (!id || id->which != ThreadId::Which::One) return error(fmt::format("There is no thread '{}'.", text));
    const auto vcpu = find_vcpu(id->vcpu);
    if (!vcpu) return error(vcpu.error());
    return to_hex(fmt::format("vCPU {}, {}", vcpu->id, thread_description(*vcpu)));
}

Session::Reply Session::thread_stop_info(std::string_view text) {
    const auto id = parse_thread(text);
    if (!id || id->which != ThreadId::Which::One) return error(fmt::format("There is no thread '{}'.", text));
    if (stop_ && (stop_->vcpu == id->vcpu || stop_->why == Stop::Why::GuestGone))
        return stop_reply(*stop_, multiprocess_);
    return fmt::format("T00thread:{};", thread_text(id->vcpu, multiprocess_));
}

/// "held, L1, transition 12 nested-entry"
std::string Session::thread_description(const Vcpu& vcpu) {
    std::string text(name_of(vcpu.state));
    if (vcpu.level) text += fmt::format(", L{}", *vcpu.level);
    if (const auto* t = newest(vcpu.id)) text += fmt::format(", transition {} {}", t->seq, nested::name_of(t->kind));
    return text;
}

std::string Session::threads_xml() {
    std::string xml = "<?xml version=\"1.0\"?><threads>";
    const auto vcpus = target_->vcpus();
    for (const Vcpu& v : vcpus ? *vcpus : std::vector<Vcpu>{})
        if (v.state != VcpuState::Gone)
            xml += fmt::format("<thread id=\"{}\" name=\"vCPU {}\">{}</thread>", thread_text(v.id, multiprocess_), v.id,
                               thread_description(v));
    return xml + "</threads>";
}

Result<Vcpu> Session::find_vcpu(std::uint32_t id) {
    const auto vcpus = target_->vcpus();
    if (!vcpus) return tl::unexpected(vcpus.error());
    const auto at = std::find_if(vcpus->begin(), vcpus->end(),
                                 [&](const Vcpu& v) { return v.id == id && v.state != VcpuState::Gone; });
    if (at == vcpus->end()) return fail(fmt::format("The guest has no vCPU {}.", id));
    return *at;
}

/// The thread that Hg named; else the one that stopped; else the first.
std::uint32_t Session::selected_vcpu() {
    if (selected_ && find_vcpu(*selected_)) return *selected_;
    if (stop_ && find_vcpu(stop_->vcpu)) return stop_->vcpu;
    const auto vcpus = target_->vcpus();
    return vcpus && !vcpus->empty() ? vcpus->front().id : 0;
}

const nested::Transition* Session::newest(std::uint32_t id) {
    const auto vcpu = find_vcpu(id);
    if (!vcpu || vcpu->last_seq == 0) return nullptr;
    if (newest_.seq != vcpu->last_seq) {
        auto read = target_->transition(vcpu->last_seq);
        if (!read) return nullptr;
        newest_ = std::move(*read);
    }
    return &newest_;
}

/// lldb does not know "xxxx" and shows a filler of its own for it; it must be told with an error, one register at a
/// time.
Session::Reply Session::read_registers(std::string_view) {
    if (error_strings_) return error("The registers are read one by one.");
    return general_registers_hex(newest(selected_vcpu()));
}

Session::Reply Session::read_register(std::string_view number) {
    const auto n = parse_hex(number);
    const auto hex = n ? register_hex(*n, newest(selected_vcpu())) : std::nullopt;
    if (!hex) return error(fmt::format("There is no register '{}'.", number));
    if (error_strings_ && hex->starts_with('x')) return error("Nobody has read this register.");
    return *hex;
}

Session::Reply Session::write_refused(std::string_view) {
    return error("vmxscope changes nothing in the guest: registers and memory cannot be written.");
}

namespace {

/// `m` is answered in hexadecimal, in one packet.
constexpr std::size_t kMostByM = 0x4000;

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

/// What the vCPU that is held runs sees: L2's linear addresses, or L1's. gdb 13 takes only the numbered form of an
/// error for an answer: at "E." and a sentence, `x/i $pc` aborts it.
Session::Reply Session::read_memory(std::string_view range) {
    const auto address = parse_hex(take_until(range, ','));
    const auto size = parse_hex(range);
    const auto vcpu = find_vcpu(selected_vcpu());
    if (!address || !size || *size == 0 || *size > kMostByM || !vcpu) return "E01";
    const Space space = vcpu->level == 2 ? Space::L2Linear : Space::L1Linear;
    const auto bytes = target_->read_memory(vcpu->id, space, *address, *size);
    return bytes ? to_hex(as_string(*bytes)) : "E01";
}

Result<std::string> Session::object(const Xfer& asked) {
    if (asked.object == "features" && asked.annex == "target.xml") return target_xml();
    if (asked.object == "threads" && asked.annex.empty()) return threads_xml();
    if (asked.object == "vmx") return vmx_object(asked.annex);
    return fail(fmt::format("There is no object '{}' named '{}' to read here.", asked.object, asked.annex));
}

Result<std::string> Session::vmx_object(std::string_view name) {
    if (name == "info") return info_text(target_->info());
    if (name == "abilities") return abilities_text(target_->abilities());
    if (name == "vcpus") return target_->vcpus().map(vcpus_text);
    if (name == "history") return target_->history().map(history_text);
    if (name == "capabilities") return target_->capabilities().map(capabilities_text);
    std::string_view rest = name;
    if (drop(rest, "memory/")) return memory_object(rest);
    if (drop(rest, "ept02/")) return ept02_object(rest);
    if (drop(rest, "msr-bitmap/")) return msr_bitmap_object(rest);
    if (drop(rest, "past/")) return past_object(rest);
    if (!drop(rest, "transition/")) return fail(fmt::format("There is no object 'vmx' named '{}' to read here.", name));
    const auto seq = parse_decimal(rest);
    if (!seq) return fail(fmt::format("'{}' is not the number of a transition.", rest));
    return target_->transition(*seq).map(nested::encode);
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

/// VCPU/GPA, the latter in hexadecimal.
Result<std::string> Session::msr_bitmap_object(std::string_view arguments) {
    std::string_view rest = arguments;
    const auto vcpu = vcpu_id(take_until(rest, '/'));
    if (!vcpu || (rest != "vmcs01" && rest != "vmcs02"))
        return fail(fmt::format("'{}' is not VCPU/vmcs01 or vmcs02.", arguments));
    const auto which = rest == "vmcs01" ? Target::HardwareVmcs::Vmcs01 : Target::HardwareVmcs::Vmcs02;
    return target_->msr_bitmap(*vcpu, which).map(as_string);
}

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
