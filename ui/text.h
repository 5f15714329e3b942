// How values and the project's own enumerations are written for people.
#pragma once

#include <QString>
#include <optional>
#include <string>
#include <string_view>

#include "core/target.h"
#include "nested/transition.h"
#include "vmx/field.h"

namespace vmxscope::ui {

inline QString qs(std::string_view text) {
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

/// "0x103001", not padded: columns are aligned right, so digits of equal weight stand below each other.
QString hex(std::uint64_t bits);
/// hex() of a known value; else why there is none: "not read", "no such field", "faulted".
QString value_text(const vmx::Value& value);
/// One sentence for a tool tip; empty for a known value.
QString value_explanation(const vmx::Value& value);

/// "L1 → L2"
QString levels_text(nested::Kind kind);
/// "CPUID (10)", with the failed-entry mark of bit 31; "" when there is no reason (entries).
QString exit_reason_text(const nested::ExitInfo& exit);
/// "CPUID"; "" when there is no reason.
QString exit_reason_name(const nested::ExitInfo& exit);
/// "#12 nested-exit"
QString headline(const nested::Transition& t);

/// What the bits of a field say, for vmcs12 and vmcs02 at once: one text where they agree (or only one is known), else
/// "both: PE PG · only vmcs02: NE" for flags and "vmcs12: active · vmcs02: HLT" for the rest. "" for plain numbers.
/// `in12`, `in02`: the VMCSs that they are of, for values that only others explain (the exit qualification); may be
/// null.
QString field_meaning(vmx::Field field, const vmx::Value& vmcs12, const vmx::Value& vmcs02,
                      const vmx::VmcsImage* in12 = nullptr, const vmx::VmcsImage* in02 = nullptr);

/// "booting" of "booting … 12 s" and "booting (12 s)": the step itself, for those who count the seconds themselves.
QString step_without_seconds(const QString& text);

/// "1 transition", "12 transitions"
QString counted(quint64 count, const QString& noun);

QString state_text(core::VcpuState state);

}  // namespace vmxscope::ui
