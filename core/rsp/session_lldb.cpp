// What lldb asks besides gdb's packets ("lldb-gdb-remote.txt" of its sources). It lives without most of them, more
// slowly.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/rsp/session.h"
#include "core/transition_text.h"

namespace vmxscope::core::rsp {

namespace {

constexpr std::uint64_t kPage = 4096;

/// Without these two, lldb 14 looks for a kernel in memory, 512 bytes at a time, for minutes.
std::string machine() {
    return fmt::format("triple:{};ptrsize:8;endian:little;", to_hex("x86_64-unknown-unknown"));
}

std::string as_packet(const nlohmann::json& j) {
    return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Session::Reply Session::host_info(std::string_view) {
    return machine();
}
Session::Reply Session::process_info(std::string_view) {
    return fmt::format("pid:{:x};{}", kProcess, machine());
}

/// From now on it ends its packets with ";thread:ID;" instead of sending Hg before them.
Session::Reply Session::thread_suffix(std::string_view) {
    return "OK";
}

Session::Reply Session::list_threads_in_stop_reply(std::string_view) {
    lists_threads_ = true;
    return "OK";
}

namespace {

constexpr unsigned kSigint = 2;

/// Why a thread stopped, as lldb shows it: "#533 vCPU 0 nested-entry …".
std::string lldb_reason(Target& target, const Stop& stop) {
    if (stop.why == Stop::Why::End) return stop.text;
    if (stop.why != Stop::Why::Transition) return {};
    const auto t = target.transition(stop.seq);
    return t ? headline(*t) : std::string{};
}

}  // namespace

std::uint64_t Session::counter_of(std::uint32_t vcpu) {
    const auto* t = newest(vcpu);
    return t != nullptr && t->regs[nested::RIP].known() ? t->regs[nested::RIP].bits : kUnknownRip;
}

/// lldb's `thread step-inst` goes on for as long as rip stays the same, which it may from one transition to the next,
/// and at a recording's end does for ever. A signal ends it; SIGINT is one that does not end a batch of commands as
/// well. Where rip changes it is left at SIGTRAP, as a step that a signal ended is taken up again by the next
/// `continue`.
void Session::remember_counter(const Stop& stop) {
    const std::pair here{stop.vcpu, counter_of(stop.vcpu)};
    stays_ = counter_ == here && breakpoint_at(stop).empty();
    counter_ = here;
}

/// A stop reply with what lldb wants in it: "T02…;description:HEX;threads:1,2;thread-pcs:100010,200010;".
std::string Session::for_lldb(std::string reply, const Stop& stop) {
    if (const std::string reason = error_strings_ ? lldb_reason(*target_, stop) : ""; !reason.empty()) {
        if (stays_) reply.replace(1, 2, fmt::format("{:02x}", kSigint));
        reply += fmt::format("description:{};", to_hex(reason));
    }
    if (!lists_threads_) return reply;
    const auto vcpus = target_->vcpus();
    std::string threads, counters;
    for (const Vcpu& v : vcpus ? *vcpus : std::vector<Vcpu>{}) {
        if (v.state == VcpuState::Gone) continue;
        threads += fmt::format("{}{}", threads.empty() ? "" : ",", thread_text(v.id, multiprocess_));
        counters += fmt::format("{}{:x}", counters.empty() ? "" : ",", counter_of(v.id));
    }
    return reply + fmt::format("threads:{};thread-pcs:{};", threads, counters);
}

Session::Reply Session::thread_stop_info(std::string_view text) {
    const auto id = parse_thread(text);
    if (!id || id->which != ThreadId::Which::One) return error(fmt::format("There is no thread '{}'.", text));
    if (stop_ && stop_->why == Stop::Why::GuestGone) return stop_reply(*stop_, multiprocess_);
    if (stop_ && stop_->vcpu == id->vcpu) return for_lldb(stop_reply(*stop_, multiprocess_), *stop_);
    const auto vcpu = find_vcpu(id->vcpu);
    if (!vcpu) return error(vcpu.error());
    return fmt::format("T00thread:{};", thread_text(id->vcpu, multiprocess_));
}

/// Every thread at a stop in one answer: its name, why it stopped, and where.
Session::Reply Session::threads_info(std::string_view) {
    if (awaiting_ != Awaiting::Nothing) return error("The guest runs.");
    const auto vcpus = target_->vcpus();
    if (!vcpus) return error(vcpus.error());
    auto all = nlohmann::json::array();
    for (const Vcpu& v : *vcpus) {
        if (v.state == VcpuState::Gone) continue;
        nlohmann::json one = {{"tid", std::uint64_t{v.id} + 1}, {"name", thread_name(v)}};
        if (stop_ && stop_->vcpu == v.id) {
            const std::string reason = lldb_reason(*target_, *stop_);
            const bool signal = reason.empty() || stays_;
            one["reason"] = signal ? "signal" : "trace";
            one["signal"] = stop_->why == Stop::Why::Interrupted || (signal && !reason.empty()) ? kSigint : 5;
            if (!reason.empty()) one["description"] = reason;
        }
        const std::size_t number = Registers::kInstructionPointer;
        one["registers"] = {{std::to_string(number), registers().hex(number, newest(v.id)).value_or("")}};
        all.push_back(std::move(one));
    }
    return as_packet(all);
}

/// What `thread info --json` shows. The request is {"thread":ID}; an empty one asks whether this is served.
Session::Reply Session::thread_extended_info(std::string_view text) {
    if (text.empty()) return "OK";
    const auto asked = nlohmann::json::parse(text, nullptr, false);
    const bool named = asked.is_object() && asked.contains("thread") && asked["thread"].is_number_unsigned();
    const std::uint64_t id = named ? asked["thread"].get<std::uint64_t>() : 0;
    const auto vcpu = id != 0 && id <= 0xffffffff ? find_vcpu(static_cast<std::uint32_t>(id - 1))
                                                  : fail("A jThreadExtendedInfo packet names no thread.");
    if (!vcpu) return error(vcpu.error());
    nlohmann::json about = {{"vcpu", vcpu->id}, {"host_thread", vcpu->tid}, {"state", name_of(vcpu->state)}};
    if (vcpu->level) about["level"] = *vcpu->level;
    if (const auto* t = newest(vcpu->id)) {
        about["transition"] = t->seq;
        about["kind"] = nested::name_of(t->kind);
        about["text"] = headline(*t);
    }
    return as_packet(about);
}

/// One page at a time: whether it can be read is all that is known of it.
Session::Reply Session::memory_region_info(std::string_view digits) {
    if (!target_->can(Ability::Memory)) return std::string{};
    const auto address = parse_hex(digits);
    if (!address) return error(fmt::format("'{}' is not an address.", digits));
    const auto vcpu = find_vcpu(selected_vcpu());
    if (!vcpu) return error(vcpu.error());
    const std::uint64_t page = *address & ~(kPage - 1);
    const bool mapped = target_->read_memory(vcpu->id, space_of(*vcpu), page, kPage).has_value();
    return fmt::format("start:{:x};size:{:x};{}", page, kPage, mapped ? "permissions:r;" : "");
}

}  // namespace vmxscope::core::rsp
