// The PDPTR verdict in words and glyphs: one place for what every view says. No colour here.
#pragma once

#include <QString>

#include "nested/pdptr.h"

namespace vmxscope::ui {

/// What a coloured mark means. Each has a glyph and a word of its own, so none is told by colour alone.
enum class Mark : int {
    None,
    Copied,
    CopiedUnused,
    FromMemory,
    FromUserspace,
    Skipped,
    Undefined,
    Alarm,
    Agree,
    Disagree,
    Unknown,
    Finding,  // rule, evidence and values contradict each other
    Worth,    // deserves a second look
    Edited,   // a person's own value
};
inline constexpr Mark kLastMark = Mark::Edited;

Mark mark_of(nested::Did did);
/// "●" for Copied, "▨" for Undefined, …
QString glyph_of(Mark mark);
/// "COPIED", "COPIED, UNUSED", "FROM MEMORY", "SKIPPED", …: the banner's big word.
QString banner_word(nested::Did did);
/// For a list's cell: "● copied", "○▨ skipped", "○⚠ skipped". The second glyph: some value is undefined, or alarm.
QString verdict_cell(const nested::Verdict& v);
/// One line for tool tips and screen readers: "skipped; vmcs12 undefined, vmcs02 defined".
QString verdict_line(const nested::Verdict& v);

inline bool any_undefined(const nested::Verdict& v) {
    return v.vmcs12 == nested::Is::Undefined || v.vmcs02 == nested::Is::Undefined;
}
/// "UNDEFINED in vmcs12 and vmcs02"; "" when neither is.
QString undefined_text(const nested::Verdict& v);
/// What the alarm is, in a sentence; "" when there is none.
QString alarm_text(const nested::Verdict& v);
/// "By rule: copied. By evidence: copied. They agree."
QString agreement_text(const nested::Verdict& v);
/// "The processor loads its PDPTEs from these vmcs02 fields."; "" for exits.
QString used_text(const nested::Verdict& v);

}  // namespace vmxscope::ui
