#include "plugins/libvirt/monitor.h"

#include <fmt/format.h>
#include <libvirt/libvirt-qemu.h>

#include <charconv>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "plugins/libvirt/connection.h"

namespace vmxscope::libvirt {
namespace {

using nlohmann::json;

constexpr std::size_t kMostVcpus = 4096;

core::Result<std::string> command(virDomainPtr domain, const std::string& text, unsigned flags) {
    char* answer = nullptr;
    if (virDomainQemuMonitorCommand(domain, text.c_str(), &answer, flags) < 0)
        return core::fail(fmt::format("QEMU's monitor cannot be asked through libvirt: {}.", last_error()));
    const std::unique_ptr<char, decltype(&std::free)> owned(answer, &std::free);
    return std::string(answer ? answer : "");
}

/// The array of a QMP answer, {"return":[…]}.
core::Result<json> array_of(std::string_view text, std::string_view asked) {
    json answer = json::parse(text, nullptr, false);
    if (!answer.is_object() || !answer.contains("return") || !answer["return"].is_array())
        return core::fail(fmt::format("QEMU's answer to {} cannot be read.", asked));
    return std::move(answer["return"]);
}

std::string text_at(const json& object, const char* key) {
    const auto at = object.find(key);
    return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

/// 0: not "tcp:127.0.0.1:PORT" or the same as ::1.
std::uint16_t loopback_port(std::string_view where) {
    for (const std::string_view begin : {"tcp:127.0.0.1:", "tcp:[::1]:", "tcp:localhost:"}) {
        if (!where.starts_with(begin)) continue;
        const std::string_view digits = where.substr(begin.size());
        std::uint16_t port = 0;
        if (std::from_chars(digits.data(), digits.data() + digits.size(), port).ec == std::errc{}) return port;
    }
    return 0;
}

}  // namespace

core::Result<std::string> human_command(virDomainPtr domain, const std::string& line) {
    return command(domain, line, VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP);
}

core::Result<std::vector<std::uint32_t>> vcpu_threads(virDomainPtr domain) {
    return command(domain, R"({"execute":"query-cpus-fast"})", 0).and_then([](const std::string& text) {
        return parse_vcpu_threads(text);
    });
}

core::Result<std::optional<OpenStub>> open_stub(virDomainPtr domain) {
    return command(domain, R"({"execute":"query-chardev"})", 0).and_then([](const std::string& text) {
        return parse_open_stub(text);
    });
}

core::Result<std::vector<std::uint32_t>> parse_vcpu_threads(std::string_view text) {
    const auto cpus = array_of(text, "query-cpus-fast");
    if (!cpus) return tl::unexpected(cpus.error());
    std::vector<std::uint32_t> threads;
    for (const json& cpu : *cpus) {
        const auto index = cpu.find("cpu-index"), thread = cpu.find("thread-id");
        if (index == cpu.end() || thread == cpu.end() || !index->is_number_unsigned() || !thread->is_number_unsigned())
            continue;
        const auto at = index->get<std::uint64_t>();
        if (at >= kMostVcpus) continue;
        if (threads.size() <= at) threads.resize(at + 1);
        threads[at] = static_cast<std::uint32_t>(thread->get<std::uint64_t>());
    }
    return threads;
}

core::Result<std::optional<OpenStub>> parse_open_stub(std::string_view text) {
    const auto devices = array_of(text, "query-chardev");
    if (!devices) return tl::unexpected(devices.error());
    for (const json& device : *devices) {
        if (!device.is_object() || text_at(device, "label") != "gdb")
            continue;  // what QEMU calls its stub's (gdbstub.c)
        constexpr std::string_view kDisconnected = "disconnected:";
        OpenStub stub;
        stub.where = text_at(device, "filename");
        stub.taken = !stub.where.starts_with(kDisconnected);
        if (!stub.taken) stub.where.erase(0, kDisconnected.size());
        stub.port = loopback_port(stub.where);
        return stub;
    }
    return std::nullopt;
}

}  // namespace vmxscope::libvirt
