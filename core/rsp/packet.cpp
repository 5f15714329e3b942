#include "core/rsp/packet.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "core/rsp/codec.h"

namespace vmxscope::core::rsp {

std::string_view take_until(std::string_view& rest, char separator) {
    const std::size_t at = rest.find(separator);
    const std::string_view taken = rest.substr(0, at);
    rest = at == std::string_view::npos ? std::string_view{} : rest.substr(at + 1);
    return taken;
}

std::optional<std::uint64_t> parse_decimal(std::string_view digits) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return {};
    return value;
}

std::optional<ThreadId> parse_thread(std::string_view text) {
    if (text.starts_with('p')) {
        text.remove_prefix(1);
        const bool has_thread = text.find('.') != std::string_view::npos;
        const std::string_view process = take_until(text, '.');
        if (process == "-1")
            return !has_thread || text == "-1" ? std::optional(ThreadId{ThreadId::Which::All}) : std::nullopt;
        const auto pid = parse_hex(process);
        if (!pid || (*pid != kProcess && *pid != 0)) return {};
        if (!has_thread) return ThreadId{ThreadId::Which::All};
    }
    if (text == "-1") return ThreadId{ThreadId::Which::All};
    const auto id = parse_hex(text);
    if (!id || *id > std::numeric_limits<std::uint32_t>::max()) return {};
    if (*id == 0) return ThreadId{ThreadId::Which::Any};
    return ThreadId{ThreadId::Which::One, static_cast<std::uint32_t>(*id - 1)};
}

std::string thread_text(std::uint32_t vcpu, bool multiprocess) {
    const std::uint64_t id = std::uint64_t{vcpu} + 1;
    return multiprocess ? fmt::format("p{:x}.{:x}", kProcess, id) : fmt::format("{:x}", id);
}

namespace {

/// "c", "C05", "s", "S05", "t", "r1000,1010"
std::optional<ThreadAction::What> action_by(std::string_view verb) {
    const char c = verb.empty() ? '\0' : verb.front();
    const std::string_view rest = verb.substr(std::min<std::size_t>(1, verb.size()));
    const bool signal = rest.size() == 2 && parse_hex(rest);
    if ((c == 'c' && rest.empty()) || (c == 'C' && signal)) return ThreadAction::What::RunOn;
    if ((c == 's' && rest.empty()) || (c == 'S' && signal)) return ThreadAction::What::Step;
    if (c == 't' && rest.empty()) return ThreadAction::What::Stop;
    std::string_view end = rest;
    const auto start = parse_hex(take_until(end, ','));
    if (c == 'r' && start && parse_hex(end)) return ThreadAction::What::Step;
    return {};
}

}  // namespace

Result<std::vector<ThreadAction>> parse_vcont(std::string_view text) {
    std::vector<ThreadAction> actions;
    while (!text.empty()) {
        if (text.front() != ';') return fail("A vCont packet's actions are not separated by ';'.");
        text.remove_prefix(1);
        const std::size_t end = std::min(text.find(';'), text.size());
        std::string_view thread = text.substr(0, end);
        const bool for_one = thread.find(':') != std::string_view::npos;
        const std::string_view verb = take_until(thread, ':');
        text.remove_prefix(end);

        const auto what = action_by(verb);
        if (!what) return fail(fmt::format("The vCont action '{}' is not known here.", verb));
        ThreadAction action{*what, {}};
        if (for_one) {
            const auto id = parse_thread(thread);
            if (!id) return fail(fmt::format("There is no thread '{}'.", thread));
            if (id->which == ThreadId::Which::One) action.vcpu = id->vcpu;
        }
        const auto covers = [&](const ThreadAction& a) { return !a.vcpu || a.vcpu == action.vcpu; };
        if (std::none_of(actions.begin(), actions.end(), covers)) actions.push_back(action);
    }
    if (actions.empty()) return fail("A vCont packet holds no action.");
    return actions;
}

std::string vcont_text(const std::vector<Action>& actions) {
    // The leftmost match counts: the vCPUs that are named come before the rest.
    std::string named = "vCont", rest;
    for (const Action& a : actions) {
        std::string text = a.step ? ";s" : ";c";
        if (a.vcpu) {
            named += text + ":" + thread_text(*a.vcpu, true);
        } else {
            rest += text + ":p1.-1";
        }
    }
    return named + rest;
}

std::optional<Xfer> parse_xfer(std::string_view text) {
    Xfer x;
    x.object = take_until(text, ':');
    if (take_until(text, ':') != "read") return {};
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return {};
    x.annex = text.substr(0, colon);
    std::string_view window = text.substr(colon + 1);
    const auto offset = parse_hex(take_until(window, ','));
    const auto length = parse_hex(window);
    if (!offset || !length) return {};
    x.offset = *offset;
    x.length = *length;
    return x;
}

std::string xfer_reply(std::string_view data, const Xfer& asked) {
    if (asked.offset >= data.size()) return "l";
    const std::string_view rest = data.substr(asked.offset);
    const std::string_view wanted = rest.substr(0, asked.length);
    const std::string_view part = wanted.substr(0, fitting_prefix(wanted, kMaxPacket - 1));
    return (part.size() < rest.size() ? "m" : "l") + std::string(part);
}

namespace {

constexpr std::size_t kMaxSentence = 4096;

}  // namespace

std::string error_reply(std::string_view sentence, bool knows_vmx) {
    std::string reply = "E." + std::string(sentence.substr(0, kMaxSentence));
    if (!knows_vmx)
        std::replace_if(
            reply.begin(), reply.end(),
            [](char c) { return std::string_view("#$}*").find(c) != std::string_view::npos; }, ' ');
    return reply;
}

namespace {

constexpr std::pair<Stop::Why, std::string_view> kWhys[] = {
    {Stop::Why::Attached, "attached"},
    {Stop::Why::Transition, "transition"},
    {Stop::Why::Interrupted, "interrupted"},
    {Stop::Why::End, "end"},
    {Stop::Why::Instruction, "instruction"},
};
constexpr std::string_view kFailed = "failed";
constexpr std::string_view kData = "vmxdata:";

}  // namespace

std::string stop_reply(const Stop& stop, bool multiprocess, const StopExtras& extras) {
    const auto why =
        std::find_if(std::begin(kWhys), std::end(kWhys), [&](const auto& w) { return w.first == stop.why; });
    if (why == std::end(kWhys)) return multiprocess ? fmt::format("W00;process:{:x}", kProcess) : "W00";
    // SIGINT for an interrupt, SIGTRAP for the rest: gdb tells its user which. "replaylog" is its word for either end of a
    // recording.
    const int signal = extras.asked_for ? 0 : stop.why == Stop::Why::Interrupted ? 2 : 5;
    std::string reply = fmt::format("T{:02x}thread:{};", signal, thread_text(stop.vcpu, multiprocess));
    if (stop.why == Stop::Why::End) reply += extras.begins ? "replaylog:begin;" : "replaylog:end;";
    if (!extras.breakpoint.empty()) reply += fmt::format("{}:;", extras.breakpoint);
    reply += fmt::format("vmxwhy:{};vmxseq:{:x};", why->second, stop.seq);
    if (extras.text && !stop.text.empty() && stop.why == Stop::Why::Transition)
        reply += fmt::format("vmxtext:{};", to_hex(std::string_view(stop.text).substr(0, kMaxSentence)));
    if (!extras.data.empty()) reply.append(kData).append(extras.data);
    return reply;
}

std::string failed_reply(std::string_view sentence) {
    return fmt::format("T00vmxwhy:{};vmxtext:{};", kFailed, to_hex(sentence.substr(0, kMaxSentence)));
}

bool is_stop_reply(std::string_view packet) {
    return !packet.empty() && std::string_view("TSWX").find(packet.front()) != std::string_view::npos;
}

Result<Stop> parse_stop_reply(std::string_view packet) {
    const auto wrong = [&] {
        return fail(fmt::format("A stop reply makes no sense: {}.", to_hex(packet.substr(0, 64))));
    };
    if (packet.starts_with('W') || packet.starts_with('X')) return Stop{Stop::Why::GuestGone, 0, 0, {}};
    if (!packet.starts_with('T') || packet.size() < 3 || !parse_hex(packet.substr(1, 2))) return wrong();
    std::optional<ThreadId> thread;
    std::optional<std::uint64_t> seq;
    std::string_view why, text;
    for (std::string_view rest = packet.substr(3); !rest.empty() && !rest.starts_with(kData);) {
        std::string_view value = take_until(rest, ';');
        const std::string_view name = take_until(value, ':');
        if (name == "thread") thread = parse_thread(value);
        if (name == "vmxseq") seq = parse_hex(value);
        if (name == "vmxwhy") why = value;
        if (name == "vmxtext") text = value;
    }
    if (why == kFailed) {
        const auto sentence = from_hex(text);
        return sentence && !sentence->empty() ? fail(*sentence) : wrong();
    }
    const auto known = std::find_if(std::begin(kWhys), std::end(kWhys), [&](const auto& w) { return w.second == why; });
    if (known == std::end(kWhys) || !thread || thread->which != ThreadId::Which::One || !seq) return wrong();
    return Stop{known->first, thread->vcpu, *seq, from_hex(text).value_or("")};
}

std::string_view stop_data(std::string_view packet) {
    const std::size_t at = packet.starts_with('T') ? packet.find(kData) : std::string_view::npos;
    return at == std::string_view::npos ? std::string_view{} : packet.substr(at + kData.size());
}

}  // namespace vmxscope::core::rsp
