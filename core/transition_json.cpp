#include "core/transition_json.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/transition_text.h"
#include "nested/badges.h"
#include "nested/changes.h"
#include "nested/flow_text.h"
#include "nested/routing.h"
#include "vmx/exit_reason.h"
#include "vmx/pdpte.h"

namespace vmxscope::core {
namespace {

using nested::Transition;
using vmx::Field;
using vmx::kPdptrFields;
using vmx::Value;

constexpr std::string_view kRegNames[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8",
                                          "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"};
static_assert(std::size(kRegNames) == nested::kRegCount);

std::string hex(std::uint64_t n) {
    return fmt::format("{:#x}", n);
}

template <typename T>
Json number_or_null(const std::optional<T>& n) {
    return n ? Json(*n) : Json(nullptr);
}

template <typename T>
Json hex_or_null(const std::optional<T>& n) {
    return n ? Json(hex(*n)) : Json(nullptr);
}

Json exit_reason(const Value& reason) {
    if (!reason.known()) return nullptr;
    const auto raw = static_cast<std::uint32_t>(reason.bits);
    return {{"number", vmx::basic_exit_reason(raw)},
            {"name", vmx::exit_reason_name(raw)},
            {"entry_failed", vmx::entry_failed(raw)}};
}

Json exit_info(const nested::ExitInfo& e) {
    if (!e.reason.known()) return nullptr;
    return {{"reason", value_text(e.reason)},
            {"qualification", value_text(e.qualification)},
            {"intr_info", value_text(e.intr_info)},
            {"intr_error_code", value_text(e.intr_error_code)},
            {"instruction_length", value_text(e.instruction_length)},
            {"guest_linear", value_text(e.guest_linear)},
            {"guest_physical", value_text(e.guest_physical)}};
}

Json context(const nested::Context& c) {
    return {{"enable_ept", number_or_null(c.enable_ept)},
            {"nested_ept", number_or_null(c.nested_ept)},
            {"pae", number_or_null(c.pae)},
            {"dirty_vmcs12", number_or_null(c.dirty_vmcs12)},
            {"evmcs", number_or_null(c.evmcs)},
            {"evmcs_clean_fields", hex_or_null(c.evmcs_clean_fields)},
            {"from_vmentry", number_or_null(c.from_vmentry)},
            {"pdptrs_from_userspace", number_or_null(c.pdptrs_from_userspace)},
            {"last_hw_exit_pae", number_or_null(c.last_hw_exit_pae)},
            {"nested_run_pending", number_or_null(c.nested_run_pending)},
            {"need_vmcs12_to_shadow_sync", number_or_null(c.need_vmcs12_to_shadow_sync)},
            {"need_sync_vmcs02_to_vmcs12_rare", number_or_null(c.need_sync_vmcs02_to_vmcs12_rare)},
            {"vmx_fail", number_or_null(c.vmx_fail)},
            {"current_vmptr", hex_or_null(c.current_vmptr)},
            {"cr0", hex_or_null(c.cr0)},
            {"cr3", hex_or_null(c.cr3)},
            {"cr4", hex_or_null(c.cr4)},
            {"efer", hex_or_null(c.efer)},
            {"regs_avail", hex_or_null(c.regs_avail)},
            {"regs_dirty", hex_or_null(c.regs_dirty)},
            {"hflags", hex_or_null(c.hflags)},
            {"cr0_guest_owned_bits", hex_or_null(c.cr0_guest_owned_bits)},
            {"cr4_guest_owned_bits", hex_or_null(c.cr4_guest_owned_bits)},
            {"l1_tsc_offset", hex_or_null(c.l1_tsc_offset)},
            {"l1_tsc_scaling_ratio", hex_or_null(c.l1_tsc_scaling_ratio)},
            {"pat", hex_or_null(c.pat)},
            {"dr7", hex_or_null(c.dr7)},
            {"pre_vmenter_debugctl", hex_or_null(c.pre_vmenter_debugctl)},
            {"pre_vmenter_bndcfgs", hex_or_null(c.pre_vmenter_bndcfgs)},
            {"mp_state", number_or_null(c.mp_state)},
            {"vpid", number_or_null(c.vpid)},
            {"vpid02", number_or_null(c.vpid02)},
            {"enable_shadow_vmcs", number_or_null(c.enable_shadow_vmcs)},
            {"enable_vpid", number_or_null(c.enable_vpid)},
            {"enable_unrestricted_guest", number_or_null(c.enable_unrestricted_guest)}};
}

bool is_pdptr(std::uint16_t encoding) {
    return std::find(kPdptrFields.begin(), kPdptrFields.end(), static_cast<Field>(encoding)) != kPdptrFields.end();
}

Json evidence(const Transition& t, bool pdptrs_only) {
    Json list = Json::array();
    for (const nested::Evidence& e : t.evidence) {
        if (pdptrs_only && !is_pdptr(e.encoding)) continue;
        const auto field = static_cast<Field>(e.encoding);
        list.push_back({{"op", e.op == nested::Evidence::Op::Vmread ? "vmread" : "vmwrite"},
                        {"field", vmx::index_of(field) ? std::string(vmx::name_of(field)) : hex(e.encoding)},
                        {"value", value_text(e.value)},
                        {"vmcs", e.vmcs02 ? "vmcs02" : "vmcs01"},
                        {"at", e.at}});
    }
    return list;
}

Json conditions(const nested::Verdict& v) {
    Json list = Json::array();
    for (const nested::Condition& c : v.conditions)
        list.push_back(
            {{"name", c.name}, {"value", c.value}, {"held", number_or_null(c.held)}, {"meaning", c.meaning}});
    return list;
}

Json pdptr_values(const Transition& t) {
    Json vmcs12 = Json::array(), vmcs02 = Json::array(), cached = Json::array();
    for (const Field f : kPdptrFields) {
        vmcs12.push_back(value_text(t.vmcs12_after[f]));
        vmcs02.push_back(value_text(t.vmcs02_after[f]));
    }
    for (const Value& v : t.cached_pdptrs) cached.push_back(value_text(v));
    return {{"vmcs12", vmcs12}, {"vmcs02", vmcs02}, {"cached", cached}};
}

Json pdptr(const Transition& t) {
    const auto v = nested::pdptr_verdict(t);
    if (!v) return nullptr;
    return {{"direction", name_of(v->direction)},
            {"verdict", name_of(v->did)},
            {"reason", v->reason},
            {"by_rule", name_of(v->by_rule)},
            {"by_evidence", name_of(v->by_evidence)},
            {"is", {{"vmcs12", name_of(v->vmcs12)}, {"vmcs02", name_of(v->vmcs02)}}},
            {"used", number_or_null(v->used)},
            {"alarm", v->alarm},
            {"evidence", evidence(t, true)},
            {"values", pdptr_values(t)},
            {"agree", v->agree},
            {"row", v->row},
            {"evidence_gap", v->evidence_gap},
            {"conditions", conditions(*v)}};
}

Json changed(const Transition& t) {
    Json list = Json::array();
    for (const nested::Change& c : nested::changed_fields(t)) {
        Json row = {{"field", vmx::name_of(c.field)},
                    {"vmcs12", value_text(t.vmcs12_after[c.field])},
                    {"vmcs02", value_text(t.vmcs02_after[c.field])}};
        if (c.in_vmcs12) row["vmcs12_was"] = value_text(t.vmcs12_before[c.field]);
        if (c.in_vmcs02) row["vmcs02_was"] = value_text(t.vmcs02_before[c.field]);
        list.push_back(std::move(row));
    }
    return list;
}

Json routing(const Transition& t) {
    const auto r = nested::routing_of(t);
    if (!r) return nullptr;
    return {{"who", name_of(r->who)},
            {"by", r->by},
            {"field", r->field ? Json(vmx::name_of(*r->field)) : Json(nullptr)},
            {"bits", hex(r->bits)}};
}

Json badges(const Transition& t, const nested::Flow& flow) {
    Json list = Json::array();
    const auto set = nested::badges_of(t, flow);
    for (std::size_t i = 0; i < nested::all_badges().size(); ++i)
        if (set[i]) list.push_back(nested::all_badges()[i].id);
    return list;
}

Json findings(const Transition& t, const nested::Flow& flow) {
    Json list = Json::array();
    for (const nested::Finding& f : flow.findings)
        list.push_back({{"what", name_of(f.what)}, {"field", vmx::name_of(f.field)}, {"text", finding_text(t, flow, f)}});
    return list;
}

Json registers(const Transition& t) {
    Json regs = Json::object();
    for (std::size_t i = 0; i < nested::kRegCount; ++i) regs[std::string(kRegNames[i])] = value_text(t.regs[i]);
    return regs;
}

}  // namespace

Json to_json(const Transition& t) {
    const nested::Flow flow = nested::flow_of(t);
    return {{"seq", t.seq},
            {"vcpu", t.vcpu},
            {"kind", name_of(t.kind)},
            {"tsc", hex(t.tsc)},
            {"status", number_or_null(t.status)},
            {"exit_reason", exit_reason(t.exit.reason)},
            {"levels", levels_of(t.kind)},
            {"exit", exit_info(t.exit)},
            {"context", context(t.context)},
            {"pdptr", pdptr(t)},
            {"changed", changed(t)},
            {"routing", routing(t)},
            {"findings", findings(t, flow)},
            {"badges", badges(t, flow)},
            {"kvm_reason", t.kvm_reason},
            {"regs", registers(t)},
            {"evidence_scope", name_of(t.evidence_scope)},
            {"evidence", evidence(t, false)},
            {"vmcs02_as_of", t.vmcs02_as_of},
            {"lost_before", t.lost_before},
            {"notes", t.notes}};
}

Json field_to_json(const Transition& t, Field field) {
    Json row = {{"field", vmx::name_of(field)},
                {"group", vmx::name_of(vmx::all_fields()[*vmx::index_of(field)].group)},
                {"vmcs12", value_text(t.vmcs12_after[field])},
                {"vmcs02", value_text(t.vmcs02_after[field])}};
    if (t.vmcs01[field].known()) row["vmcs01"] = value_text(t.vmcs01[field]);
    return row;
}

Json to_full_json(const Transition& t) {
    Json json = to_json(t);
    for (const vmx::FieldInfo& f : vmx::all_fields()) json["fields"].push_back(field_to_json(t, f.field));
    return json;
}

std::string to_line(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace vmxscope::core
