// The packets by name, and those that ask and change nothing: handshake and threads. (Registers and memory:
// session_values.cpp; objects: session_objects.cpp; what only lldb asks: session_lldb.cpp.)
#include <fmt/format.h>

#include <algorithm>

#include "core/rsp/session.h"

namespace vmxscope::core::rsp {

/// Longer names before their prefixes; a name that takes arguments includes the mark that ends it.
const Session::Command Session::kCommands[] = {
    {"qSupported", true, &Session::supported},
    {"vMustReplyEmpty", false, &Session::must_reply_empty},
    {"QStartNoAckMode", false, &Session::start_no_ack},
    {"QEnableErrorStrings", false, &Session::enable_error_strings},
    {"QNonStop:", true, &Session::non_stop},
    {"qAttached", true, &Session::attached},
    {"qSymbol:", true, &Session::symbol},
    {"qHostInfo", false, &Session::host_info},
    {"qProcessInfo", false, &Session::process_info},
    {"qC", false, &Session::current_thread},
    {"H", true, &Session::select_thread},
    {"T", true, &Session::thread_alive},
    {"qfThreadInfo", false, &Session::first_threads},
    {"qsThreadInfo", false, &Session::more_threads},
    {"qThreadExtraInfo,", true, &Session::thread_extra},
    {"qThreadStopInfo", true, &Session::thread_stop_info},
    {"QThreadSuffixSupported", false, &Session::thread_suffix},
    {"QListThreadsInStopReply", false, &Session::list_threads_in_stop_reply},
    {"jThreadsInfo", false, &Session::threads_info},
    {"jThreadExtendedInfo:", true, &Session::thread_extended_info},
    {"qMemoryRegionInfo:", true, &Session::memory_region_info},
    {"g;", true, &Session::read_registers},
    {"g", false, &Session::read_registers},
    {"p", true, &Session::read_register},
    {"G", true, &Session::write_registers, Kind::Changes},
    {"P", true, &Session::write_register, Kind::Changes},
    {"M", true, &Session::write_memory_hex, Kind::Changes},
    {"X", true, &Session::write_memory_bytes, Kind::Changes},
    {"QVmxWrite:", true, &Session::write_own, Kind::Changes},
    {"m", true, &Session::read_memory},
    {"x", true, &Session::read_memory_as_it_is},
    {"qSearch:memory:", true, &Session::search_memory},
    {"qqemu.Supported", false, &Session::qemu_supported},
    {"qqemu.PhyMemMode", false, &Session::physical_memory},
    {"Qqemu.PhyMemMode:", true, &Session::set_physical_memory},
    {"?", false, &Session::last_stop},
    {"vCont?", false, &Session::vcont_actions},
    {"vCont", true, &Session::vcont, Kind::Runs},
    {"c", true, &Session::continue_all, Kind::Runs},
    {"C", true, &Session::continue_all, Kind::Runs},
    {"s", true, &Session::step_one, Kind::Runs},
    {"S", true, &Session::step_one, Kind::Runs},
    {"bs", false, &Session::step_back, Kind::Runs},
    {"bc", false, &Session::continue_back, Kind::Runs},
    {"vCtrlC", false, &Session::interrupt_packet},
    {"vStopped", false, &Session::next_notice},
    {"Z0,", true, &Session::insert_software, Kind::Changes},
    {"Z1,", true, &Session::insert_hardware, Kind::Changes},
    {"z0,", true, &Session::remove_breakpoint, Kind::Changes},
    {"z1,", true, &Session::remove_breakpoint, Kind::Changes},
    {"QVmxGoto:", true, &Session::go_to, Kind::Runs},
    {"QVmxDeliver:", true, &Session::deliver},
    {"QVmxStep:", true, &Session::step_kind},
    {"qVmxStep", false, &Session::step_kind_asked},
    {"QVmxEvidence:", true, &Session::evidence_scope, Kind::Changes},
    {"QVmxRecord:", true, &Session::record_settings, Kind::Changes},
    {"D", true, &Session::detach},
    {"vKill;", true, &Session::kill_process},
    {"k", false, &Session::kill},
    {"qXfer:", true, &Session::transfer},
    {"qRcmd,", true, &Session::monitor},
};

Session::Reply Session::dispatch(std::string_view packet) {
    for (const Command& c : kCommands) {
        const bool found = c.takes_arguments ? packet.starts_with(c.name) : packet == c.name;
        if (!found) continue;
        if (auto refusal = refused(c)) return refusal;
        return (this->*c.handler)(packet.substr(c.name.size()));
    }
    return std::string{};
}

/// Why not, or nothing. A run's client waits for a stop reply, so one of ours is told by one.
Session::Reply Session::refused(const Command& c) const {
    if (c.kind != Kind::Asks && !drives_)
        return vmx_ && c.kind == Kind::Runs ? failed_reply(only_looks()) : error(only_looks());
    if (c.kind == Kind::Runs && awaiting_ != Awaiting::Nothing) return error("The guest already runs.");
    return {};
}

/// The sentence for who may not drive.
std::string Session::only_looks() const {
    return guest_->driver + " drives this guest; this connection only looks. Detach there, and attach anew.";
}

Session::Reply Session::supported(std::string_view features) {
    if (features.starts_with(':')) features.remove_prefix(1);
    while (!features.empty()) {
        const std::string_view feature = take_until(features, ';');
        if (feature == "multiprocess+") multiprocess_ = true;
        if (feature == "vmx+") vmx_ = true;
        if (feature == "no-resumed+") no_resumed_ = true;
        if (feature == "swbreak+") swbreak_ = true;
        if (feature == "hwbreak+") hwbreak_ = true;
    }
    return fmt::format(
        "PacketSize={:x};multiprocess+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;no-resumed+;qXfer:features:read+;"
        "qXfer:threads:read+;qXfer:osdata:read+;{}{}vmx+",
        kMaxPacket, target_->can(Ability::NonStop) ? "QNonStop+;" : "",
        target_->can(Ability::Back) ? "ReverseStep+;ReverseContinue+;" : "");
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

Session::Reply Session::attached(std::string_view) {
    return "1";
}

/// gdb offers to look symbols up; none is wanted.
Session::Reply Session::symbol(std::string_view) {
    return "OK";
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

/// "vCPU 0, L2": a vCPU is two machines.
std::string Session::thread_name(const Vcpu& vcpu) {
    return fmt::format("vCPU {}{}", vcpu.id, vcpu.level ? fmt::format(", L{}", *vcpu.level) : "");
}

/// "L2 runs, held, transition 12 nested-entry"
std::string Session::thread_description(const Vcpu& vcpu) {
    std::string text = vcpu.level ? fmt::format("L{} runs, ", *vcpu.level) : "";
    text += name_of(vcpu.state);
    if (const auto* t = newest(vcpu.id)) text += fmt::format(", transition {} {}", t->seq, nested::name_of(t->kind));
    return text;
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

}  // namespace vmxscope::core::rsp
