#include "core/rsp/objects.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "core/rsp/codec.h"
#include "core/rsp/packet.h"

namespace vmxscope::core::rsp {

namespace {

using nlohmann::json;

std::string dump(const json& j) {
    return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Reads the members of one JSON object; the first that is missing or of the wrong type is remembered.
class Reader {
  public:
    explicit Reader(const json& object) : object_(object) {
        if (!object.is_object()) wrong_ = "it is no object";
    }

    std::string string(const char* name) {
        const json* member = find(name);
        if (member != nullptr && !member->is_string()) member = complain(name);
        return member != nullptr ? member->get<std::string>() : std::string{};
    }

    template <typename T>
    T number(const char* name) {
        const json* member = find(name);
        const bool fits = member != nullptr && member->is_number_unsigned() &&
                          member->get<std::uint64_t>() <= std::numeric_limits<T>::max();
        if (!fits) member = complain(name);
        return member != nullptr ? member->get<T>() : T{};
    }

    /// "0x2a"
    std::uint64_t hex(const char* name) {
        const std::string text = string(name);
        const auto number = text.starts_with("0x") ? parse_hex(std::string_view(text).substr(2)) : std::nullopt;
        if (!number) complain(name);
        return number.value_or(0);
    }

    std::vector<std::string> strings(const char* name) {
        std::vector<std::string> all;
        const json* member = find(name);
        if (member == nullptr || !member->is_array()) return complain(name), all;
        for (const json& element : *member) {
            if (!element.is_string()) return complain(name), all;
            all.push_back(element.get<std::string>());
        }
        return all;
    }

    /// "0a1b", of at most kMostWritten bytes
    std::vector<std::byte> bytes(const char* name) {
        const auto text = from_hex(string(name));
        if (!text || text->size() > kMostWritten) return complain(name), std::vector<std::byte>{};
        const auto view = std::as_bytes(std::span(*text));
        return {view.begin(), view.end()};
    }

    bool is_null(const char* name) const {
        return object_.is_object() && object_.contains(name) && object_[name].is_null();
    }
    const std::string& wrong() const { return wrong_; }
    const json* complain(const char* name) {
        if (wrong_.empty()) wrong_ = fmt::format("'{}' is missing or not what it should be", name);
        return nullptr;
    }

  private:
    const json* find(const char* name) {
        if (!object_.is_object()) return nullptr;
        const auto at = object_.find(name);
        return at != object_.end() ? &*at : complain(name);
    }

    const json& object_;
    std::string wrong_;
};

tl::unexpected<Error> refused(std::string_view object, std::string_view why) {
    return fail(fmt::format("The agent's answer to '{}' cannot be read: {}.", object, why),
                "Check that the agent is of the same version as this program.");
}

json parse(std::string_view text) {
    return json::parse(text, nullptr, false);
}

/// Only the MSRs that are known; one that is missing was not read, or is not there.
json of_processor(const vmx::Capabilities& c) {
    json msrs = json::object();
    for (std::size_t i = 0; i < vmx::kCapabilityMsrCount; ++i) {
        const auto msr = static_cast<vmx::CapabilityMsr>(0x480 + i);
        if (c[msr].known()) msrs[std::string(vmx::name_of(msr))] = fmt::format("{:#x}", c[msr].bits);
    }
    return {{"msrs", msrs}, {"maxphyaddr", c.maxphyaddr}, {"linear_bits", c.linear_bits}};
}

vmx::Capabilities read_processor(const json& parsed, std::string& wrong) {
    vmx::Capabilities c;
    Reader r(parsed);
    c.maxphyaddr = r.number<std::uint8_t>("maxphyaddr");
    c.linear_bits = r.number<std::uint8_t>("linear_bits");
    if (c.maxphyaddr < 32 || c.maxphyaddr > 52) r.complain("maxphyaddr");
    if (c.linear_bits != 48 && c.linear_bits != 57) r.complain("linear_bits");
    const json none = json::object();
    const bool has_msrs = parsed.is_object() && parsed.contains("msrs");
    if (!has_msrs) r.complain("msrs");
    const json& msrs = has_msrs ? parsed["msrs"] : none;
    Reader values(msrs);
    for (const auto& [name, value] : msrs.items()) {
        const auto msr = msrs.is_object() ? vmx::capability_msr_by_name(name) : std::nullopt;
        if (msr) c[*msr] = vmx::Value::of(values.hex(name.c_str()));
    }
    for (const Reader* reader : {&r, &values})
        if (wrong.empty()) wrong = reader->wrong();
    return c;
}

std::optional<VcpuState> state_by_name(std::string_view name) {
    for (auto s : {VcpuState::Held, VcpuState::Running, VcpuState::Waiting, VcpuState::Gone})
        if (name_of(s) == name) return s;
    return {};
}

}  // namespace

std::string info_text(const TargetInfo& i) {
    return dump({{"name", i.name},
                 {"kernel", i.kernel},
                 {"cpu", i.cpu},
                 {"pid", i.pid},
                 {"agent", i.agent},
                 {"host", i.host},
                 {"tsc_khz", i.tsc_khz},
                 {"notes", i.notes}});
}

std::string abilities_text(Abilities abilities) {
    json all = json::array();
    for (std::size_t i = 0; i < kAbilities; ++i)
        if (abilities.has(static_cast<Ability>(i))) all.push_back(name_of(static_cast<Ability>(i)));
    return dump(all);
}

std::string vcpus_text(const std::vector<Vcpu>& vcpus) {
    json all = json::array();
    for (const Vcpu& v : vcpus)
        all.push_back({{"id", v.id},
                       {"tid", v.tid},
                       {"state", name_of(v.state)},
                       {"level", v.level ? json(*v.level) : json()},
                       {"last_seq", v.last_seq}});
    return dump(all);
}

namespace {

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '<')
            out += "&lt;";
        else if (c == '&')
            out += "&amp;";
        else
            out += static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~' ? '?' : c;
    }
    return out;
}

using Row = std::vector<std::pair<std::string_view, std::string>>;

std::string osdata_xml(std::string_view type, const std::vector<Row>& rows) {
    std::string xml = fmt::format("<?xml version=\"1.0\"?><!DOCTYPE osdata SYSTEM \"osdata.dtd\"><osdata type=\"{}\">", type);
    for (const Row& row : rows) {
        xml += "<item>";
        for (const auto& [name, value] : row) xml += fmt::format("<column name=\"{}\">{}</column>", name, escaped(value));
        xml += "</item>";
    }
    return xml + "</osdata>";
}

}  // namespace

std::string osdata_types_xml() {
    return osdata_xml("types", {{{"Type", "processes"}, {"Description", "The guest, and the process that runs it on L0"}},
                                {{"Type", "threads"}, {"Description", "The guest's vCPUs, and their threads on L0"}}});
}

std::string osdata_processes_xml(const TargetInfo& i) {
    return osdata_xml("processes", {{{"pid", std::to_string(kProcess)},
                                     {"command", i.name},
                                     {"pid on L0", std::to_string(i.pid)},
                                     {"host", i.host},
                                     {"kernel", i.kernel},
                                     {"cpu", i.cpu}}});
}

std::string osdata_threads_xml(const std::vector<Vcpu>& vcpus) {
    std::vector<Row> rows;
    for (const Vcpu& v : vcpus)
        rows.push_back({{"pid", std::to_string(kProcess)},
                        {"tid", std::to_string(std::uint64_t{v.id} + 1)},
                        {"vcpu", std::to_string(v.id)},
                        {"tid on L0", std::to_string(v.tid)},
                        {"state", std::string(name_of(v.state))},
                        {"level", v.level ? fmt::format("L{}", *v.level) : ""},
                        {"transition", std::to_string(v.last_seq)}});
    return osdata_xml("threads", rows);
}

std::string history_text(const History& h) {
    return dump({{"first", h.first}, {"last", h.last}, {"lost", h.lost}});
}

std::string record_text(const RecordSettings& s) {
    return fmt::format("{},{},{}", s.all_fields ? "all" : "verdict", nested::name_of(s.evidence), s.lossless ? "lossless" : "lossy");
}

std::optional<RecordSettings> parse_record(std::string_view text) {
    RecordSettings s;
    const std::string_view fields = take_until(text, ','), evidence = take_until(text, ',');
    const auto scope = nested::evidence_scope_by_name(evidence);
    if ((fields != "all" && fields != "verdict") || !scope || (text != "lossless" && text != "lossy")) return std::nullopt;
    s.all_fields = fields == "all";
    s.evidence = *scope;
    s.lossless = text == "lossless";
    return s;
}

std::string capabilities_text(const TargetCapabilities& c) {
    return dump({{"l0", of_processor(c.l0)}, {"l1", of_processor(c.l1)}});
}

std::string walk_text(const std::vector<vmx::WalkStep>& steps) {
    json all = json::array();
    for (const vmx::WalkStep& s : steps)
        all.push_back({{"level", s.level},
                       {"address", fmt::format("{:#x}", s.address)},
                       {"entry", fmt::format("{:#x}", s.entry)}});
    return dump(all);
}

std::string ledger_text(const std::vector<Write>& ledger) {
    const auto hex = [](const std::vector<std::byte>& bytes) {
        return to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    json all = json::array();
    for (const Write& w : ledger)
        all.push_back({{"number", w.number},
                       {"unix_time", w.unix_time},
                       {"vcpu", w.vcpu},
                       {"seq", w.seq},
                       {"what", w.what},
                       {"before", hex(w.before)},
                       {"wanted", hex(w.wanted)},
                       {"after", hex(w.after)}});
    return dump(all);
}

Result<TargetInfo> parse_info(std::string_view text) {
    const json parsed = parse(text);
    Reader r(parsed);
    TargetInfo info;
    info.name = r.string("name");
    info.kernel = r.string("kernel");
    info.cpu = r.string("cpu");
    info.pid = r.number<std::uint32_t>("pid");
    info.agent = r.string("agent");
    info.host = r.string("host");
    info.tsc_khz = r.number<std::uint64_t>("tsc_khz");
    info.notes = r.strings("notes");
    if (!r.wrong().empty()) return refused("info", r.wrong());
    return info;
}

Result<Abilities> parse_abilities(std::string_view text) {
    const json parsed = parse(text);
    if (!parsed.is_array()) return refused("abilities", "it is no list");
    Abilities all;
    for (const json& element : parsed) {
        if (!element.is_string()) return refused("abilities", "it is no list of names");
        if (const auto ability = ability_by_name(element.get<std::string>())) all = all.with(*ability);
    }
    return all;
}

Result<std::vector<Vcpu>> parse_vcpus(std::string_view text) {
    const json parsed = parse(text);
    if (!parsed.is_array()) return refused("vcpus", "it is no list");
    std::vector<Vcpu> vcpus;
    for (const json& element : parsed) {
        Reader r(element);
        Vcpu v;
        v.id = r.number<std::uint32_t>("id");
        v.tid = r.number<std::uint32_t>("tid");
        const auto state = state_by_name(r.string("state"));
        if (!state) r.complain("state");
        v.state = state.value_or(VcpuState::Running);
        if (!r.is_null("level")) v.level = r.number<std::uint8_t>("level");
        if (v.level && *v.level != 1 && *v.level != 2) r.complain("level");
        v.last_seq = r.number<std::uint64_t>("last_seq");
        if (!r.wrong().empty()) return refused("vcpus", r.wrong());
        vcpus.push_back(v);
    }
    return vcpus;
}

Result<History> parse_history(std::string_view text) {
    const json parsed = parse(text);
    Reader r(parsed);
    History h;
    h.first = r.number<std::uint64_t>("first");
    h.last = r.number<std::uint64_t>("last");
    h.lost = r.number<std::uint64_t>("lost");
    if (!r.wrong().empty()) return refused("history", r.wrong());
    if (h.first > h.last) return refused("history", "its first transition is after its last");
    return h;
}

Result<TargetCapabilities> parse_capabilities(std::string_view text) {
    const json parsed = parse(text);
    std::string wrong;
    const auto of = [&](const char* who) {
        if (parsed.is_object() && parsed.contains(who)) return read_processor(parsed[who], wrong);
        if (wrong.empty()) wrong = fmt::format("'{}' is missing", who);
        return vmx::Capabilities{};
    };
    const TargetCapabilities c{of("l0"), of("l1")};
    if (!wrong.empty()) return refused("capabilities", wrong);
    return c;
}

Result<std::vector<vmx::WalkStep>> parse_walk(std::string_view text) {
    const json parsed = parse(text);
    if (!parsed.is_array()) return refused("ept02", "it is no list");
    std::vector<vmx::WalkStep> steps;
    for (const json& element : parsed) {
        Reader r(element);
        const vmx::WalkStep step{r.number<std::uint8_t>("level"), r.hex("address"), r.hex("entry")};
        if (step.level < 1 || step.level > 5) r.complain("level");
        if (!r.wrong().empty()) return refused("ept02", r.wrong());
        steps.push_back(step);
    }
    if (steps.size() > 5) return refused("ept02", "it has more than five steps");
    return steps;
}

Result<std::vector<Write>> parse_ledger(std::string_view text) {
    const json parsed = parse(text);
    if (!parsed.is_array()) return refused("ledger", "it is no list");
    std::vector<Write> ledger;
    for (const json& element : parsed) {
        Reader r(element);
        Write w;
        w.number = r.number<std::uint64_t>("number");
        w.unix_time = r.number<std::uint64_t>("unix_time");
        w.vcpu = r.number<std::uint32_t>("vcpu");
        w.seq = r.number<std::uint64_t>("seq");
        w.what = r.string("what");
        w.before = r.bytes("before");
        w.wanted = r.bytes("wanted");
        w.after = r.bytes("after");
        if (!r.wrong().empty()) return refused("ledger", r.wrong());
        ledger.push_back(std::move(w));
    }
    return ledger;
}

}  // namespace vmxscope::core::rsp
