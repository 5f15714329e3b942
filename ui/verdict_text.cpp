#include "ui/verdict_text.h"

#include <QStringList>

#include "ui/text.h"

namespace vmxscope::ui {

using nested::Did;
using nested::Is;

Mark mark_of(Did did) {
    switch (did) {
        case Did::Copied: return Mark::Copied;
        case Did::CopiedUnused: return Mark::CopiedUnused;
        case Did::FromMemory: return Mark::FromMemory;
        case Did::FromUserspace: return Mark::FromUserspace;
        case Did::Skipped: return Mark::Skipped;
        case Did::Unknown: return Mark::Unknown;
    }
    return Mark::Unknown;
}

QString glyph_of(Mark mark) {
    switch (mark) {
        case Mark::None: return {};
        case Mark::Copied: return QStringLiteral("●");
        case Mark::CopiedUnused: return QStringLiteral("◐");
        case Mark::FromMemory: return QStringLiteral("◆");
        case Mark::FromUserspace: return QStringLiteral("◇");
        case Mark::Skipped: return QStringLiteral("○");
        case Mark::Undefined: return QStringLiteral("▨");
        case Mark::Alarm: return QStringLiteral("⚠");
        case Mark::Agree: return QStringLiteral("✓");
        case Mark::Disagree: return QStringLiteral("✗");
        case Mark::Unknown: return QStringLiteral("?");
        case Mark::Finding: return QStringLiteral("⚑");
        case Mark::Worth: return QStringLiteral("◉");
        case Mark::Edited: return QStringLiteral("✎");
    }
    return {};
}

QString banner_word(Did did) {
    switch (did) {
        case Did::Copied: return QStringLiteral("COPIED");
        case Did::CopiedUnused: return QStringLiteral("COPIED, UNUSED");
        case Did::FromMemory: return QStringLiteral("FROM MEMORY");
        case Did::FromUserspace: return QStringLiteral("FROM USER SPACE");
        case Did::Skipped: return QStringLiteral("SKIPPED");
        case Did::Unknown: return QStringLiteral("NOT KNOWN");
    }
    return {};
}

QString verdict_cell(const nested::Verdict& v) {
    // Glyphs first: a narrow column cuts the word, never them.
    QString text = glyph_of(mark_of(v.did));
    if (v.alarm)
        text += glyph_of(Mark::Alarm);
    else if (any_undefined(v))
        text += glyph_of(Mark::Undefined);
    if (!v.agree) text += glyph_of(Mark::Disagree);
    return text + QLatin1Char(' ') + qs(nested::name_of(v.did));
}

QString verdict_line(const nested::Verdict& v) {
    QString text = QStringLiteral("%1; vmcs12 %2, vmcs02 %3")
                       .arg(qs(nested::name_of(v.did)), qs(nested::name_of(v.vmcs12)), qs(nested::name_of(v.vmcs02)));
    if (v.alarm) text += QStringLiteral("; ALARM");
    if (!v.agree) text += QStringLiteral("; rule and evidence disagree");
    return text;
}

QString undefined_text(const nested::Verdict& v) {
    QStringList where;
    if (v.vmcs12 == Is::Undefined) where << QStringLiteral("vmcs12");
    if (v.vmcs02 == Is::Undefined) where << QStringLiteral("vmcs02");
    return where.isEmpty() ? QString() : QStringLiteral("UNDEFINED in ") + where.join(QStringLiteral(" and "));
}

QString alarm_text(const nested::Verdict& v) {
    if (!v.alarm) return {};
    return QStringLiteral("ALARM: the processor uses undefined PDPTEs.");
}

QString agreement_text(const nested::Verdict& v) {
    const bool rule = v.by_rule != Did::Unknown, evidence = v.by_evidence != Did::Unknown;
    if (!rule && !evidence) return QStringLiteral("Neither the rule nor the evidence decides.");
    const QString said = QStringLiteral("By rule: %1. By evidence: %2. ")
                             .arg(rule ? qs(nested::name_of(v.by_rule)) : QStringLiteral("cannot tell"),
                                  evidence ? qs(nested::name_of(v.by_evidence)) : QStringLiteral("cannot tell"));
    if (!v.agree) return said + QStringLiteral("They DISAGREE: our rule is wrong, or KVM is.");
    return rule && evidence ? said + QStringLiteral("They agree.") : said.trimmed();
}

QString used_text(const nested::Verdict& v) {
    if (v.direction == nested::Direction::Exit) return {};
    if (!v.used) return QStringLiteral("Whether the processor uses these vmcs02 fields is not known.");
    return *v.used ? QStringLiteral("The processor loads its PDPTEs from these vmcs02 fields.")
                   : QStringLiteral("The processor does not use these vmcs02 fields at this entry.");
}

}  // namespace vmxscope::ui
