// TraceInfo as JSON: target and capabilities as the wire has them (core/rsp/objects.h).
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/rsp/objects.h"
#include "core/trace/file_format.h"

namespace vmxscope::core::trace {
namespace {

using nlohmann::json;

template <typename T>
void take(const json& object, const char* name, T& into, bool (json::*is)() const noexcept) {
    const auto at = object.find(name);
    if (at != object.end() && ((*at).*is)()) into = at->get<T>();
}

}  // namespace

std::string info_json(const TraceInfo& info) {
    json fields = json::array();
    for (const vmx::Field f : info.fields) fields.push_back(static_cast<unsigned>(f));
    json all = {{"program", info.program},
                {"host", info.host},
                {"target", json::parse(rsp::info_text(info.target))},
                {"started_ns", info.started_ns},
                {"tsc_khz", info.tsc_khz},
                {"evidence", nested::name_of(info.evidence)},
                {"fields", std::move(fields)}};
    if (info.capabilities) all["capabilities"] = json::parse(rsp::capabilities_text(*info.capabilities));
    return all.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<TraceInfo> parse_info_json(std::string_view text) {
    const json parsed = json::parse(text, nullptr, false);
    if (!parsed.is_object()) return fail("it is no JSON object.");
    TraceInfo info;
    take(parsed, "program", info.program, &json::is_string);
    take(parsed, "host", info.host, &json::is_string);
    take(parsed, "started_ns", info.started_ns, &json::is_number_integer);
    take(parsed, "tsc_khz", info.tsc_khz, &json::is_number_unsigned);
    std::string evidence;
    take(parsed, "evidence", evidence, &json::is_string);
    info.evidence = nested::evidence_scope_by_name(evidence).value_or(nested::EvidenceScope::Pdptrs);
    if (parsed.contains("target")) {
        auto target = rsp::parse_info(parsed["target"].dump());
        if (!target) return tl::unexpected(target.error());
        info.target = std::move(*target);
    }
    if (parsed.contains("capabilities")) {
        auto capabilities = rsp::parse_capabilities(parsed["capabilities"].dump());
        if (!capabilities) return tl::unexpected(capabilities.error());
        info.capabilities = std::move(*capabilities);
    }
    if (!parsed.contains("fields") || !parsed["fields"].is_array()) return info;
    for (const json& f : parsed["fields"]) {
        const std::uint64_t encoding = f.is_number_unsigned() ? f.get<std::uint64_t>() : 0x10000;
        if (encoding <= 0xffff && vmx::index_of(static_cast<vmx::Field>(encoding)))
            info.fields.push_back(static_cast<vmx::Field>(encoding));
    }
    return info;
}

}  // namespace vmxscope::core::trace
