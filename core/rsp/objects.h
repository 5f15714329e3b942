// The small objects that `qXfer:vmx:read:` serves as JSON: info, abilities, vcpus, history, capabilities, a walk, the
// ledger. Written and read here; what is read is checked. (Transitions have an encoding of their own: nested/transition_codec.h.)
// And gdb's tables in XML, which are only written.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

std::string info_text(const TargetInfo& info);
std::string abilities_text(Abilities abilities);
std::string vcpus_text(const std::vector<Vcpu>& vcpus);
std::string history_text(const History& history);

// Tables of `info os` (gdb's osdata.dtd).
std::string osdata_types_xml();
std::string osdata_processes_xml(const TargetInfo& info);
std::string osdata_threads_xml(const std::vector<Vcpu>& vcpus);

/// QVmxRecord's argument: "verdict,none,lossy".
std::string record_text(const RecordSettings& settings);
std::optional<RecordSettings> parse_record(std::string_view text);

std::string capabilities_text(const TargetCapabilities& capabilities);
std::string walk_text(const std::vector<vmx::WalkStep>& steps);
std::string ledger_text(const std::vector<Write>& ledger);

Result<TargetInfo> parse_info(std::string_view text);
Result<Abilities> parse_abilities(std::string_view text);  // those that this version does not know are left out
Result<std::vector<Vcpu>> parse_vcpus(std::string_view text);
Result<History> parse_history(std::string_view text);
Result<TargetCapabilities> parse_capabilities(std::string_view text);
Result<std::vector<vmx::WalkStep>> parse_walk(std::string_view text);
Result<std::vector<Write>> parse_ledger(std::string_view text);

}  // namespace vmxscope::core::rsp
