#include "core/rsp/objects.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

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
                 {"notes", i.notes}});
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

std::string history_text(const History& h) {
    return dump({{"first", h.first}, {"last", h.last}, {"lost", h.lost}});
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
    info.notes = r.strings("notes");
    if (!r.wrong().empty()) return refused("info", r.wrong());
    return info;
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

}  // namespace vmxscope::core::rsp
