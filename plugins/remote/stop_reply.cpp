#include "plugins/remote/stop_reply.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/rsp/codec.h"
#include "core/rsp/packet.h"

namespace vmxscope::remote {

using core::rsp::parse_hex;
using core::rsp::take_until;

std::string Thread::text() const {
    return process ? fmt::format("p{:x}.{:x}", *process, id) : fmt::format("{:x}", id);
}

std::optional<Thread> parse_thread(std::string_view text) {
    Thread thread;
    if (text.starts_with('p')) {
        text.remove_prefix(1);
        thread.process = parse_hex(take_until(text, '.'));
        if (!thread.process) return std::nullopt;
    }
    const auto id = parse_hex(text);
    if (!id) return std::nullopt;
    thread.id = *id;
    return thread;
}

std::optional<std::vector<Thread>> parse_threads(std::string_view list) {
    std::vector<Thread> all;
    while (!list.empty()) {
        const auto thread = parse_thread(take_until(list, ','));
        if (!thread) return std::nullopt;
        all.push_back(*thread);
    }
    return all;
}

core::Result<StubStop> parse_stub_stop(std::string_view packet) {
    if (packet.empty()) return core::fail("A stop reply is empty.");
    const bool ended = packet.front() == 'W' || packet.front() == 'X';
    const auto code = parse_hex(packet.substr(1, ended ? packet.find(';') - 1 : 2));
    if (!code)
        return core::fail(fmt::format("A stop reply makes no sense: {}.", core::rsp::to_hex(packet.substr(0, 64))));
    StubStop stop;
    stop.signal = static_cast<unsigned>(*code);
    if (ended) {
        stop.gone = true;
        stop.text = fmt::format("It ended {} {}.", packet.front() == 'W' ? "with status" : "by signal", *code);
    }
    if (packet.front() != 'T') return stop;
    for (std::string_view rest = packet.substr(std::min<std::size_t>(packet.size(), 3)); !rest.empty();) {
        std::string_view value = take_until(rest, ';');
        const std::string_view name = take_until(value, ':');
        if (name == "thread") stop.thread = parse_thread(value);
        if (name == "replaylog") {
            stop.end = true;
            stop.text = fmt::format("The recording {} here.", value == "begin" ? "begins" : "ends");
        }
    }
    return stop;
}

}  // namespace vmxscope::remote
