#include "ui/text.h"

#include <QRegularExpression>
#include <QStringList>

#include "vmx/bits.h"
#include "vmx/decode/details.h"
#include "vmx/exit_reason.h"

namespace vmxscope::ui {

QString hex(std::uint64_t bits) {
    return QStringLiteral("0x") + QString::number(bits, 16);
}

QString value_text(const vmx::Value& value) {
    switch (value.state) {
        case vmx::Known::Yes: return hex(value.bits);
        case vmx::Known::NotRead: return QStringLiteral("not read");
        case vmx::Known::Unsupported: return QStringLiteral("no such field");
        case vmx::Known::Faulted: return QStringLiteral("faulted");
    }
    return {};
}

QString value_explanation(const vmx::Value& value) {
    switch (value.state) {
        case vmx::Known::Yes: return {};
        case vmx::Known::NotRead:
            return QStringLiteral(
                "Not read: nobody asked for it here, or the loaded VMCS was not identified as this one.");
        case vmx::Known::Unsupported: return QStringLiteral("This processor, or vmcs12's layout, has no such field.");
        case vmx::Known::Faulted: return QStringLiteral("Reading it faulted.");
    }
    return {};
}

QString levels_text(nested::Kind kind) {
    return qs(nested::levels_of(kind)).replace("->", QStringLiteral(" → "));
}

QString exit_reason_text(const nested::ExitInfo& exit) {
    if (!exit.reason.known()) return {};
    const auto number = vmx::basic_exit_reason(static_cast<std::uint32_t>(exit.reason.bits));
    return QStringLiteral("%1 (%2)").arg(exit_reason_name(exit)).arg(number);
}

QString exit_reason_name(const nested::ExitInfo& exit) {
    return exit.reason.known() ? qs(vmx::describe_exit_reason(static_cast<std::uint32_t>(exit.reason.bits)))
                               : QString();
}

QString headline(const nested::Transition& t) {
    return QStringLiteral("#%1 %2").arg(t.seq).arg(qs(nested::name_of(t.kind)));
}

namespace {

/// "both: PE PG · only vmcs02: NE". The parts that are empty are left out.
QString flag_difference(vmx::Field field, std::uint64_t v12, std::uint64_t v02) {
    const auto names = vmx::bits_of(field);
    QStringList parts;
    const auto add = [&](const char* label, std::uint64_t bits) {
        const QString text = qs(vmx::join_bits(names, bits));
        if (!text.isEmpty()) parts << QString::fromLatin1(label) + text;
    };
    add("only vmcs12: ", v12 & ~v02);
    add("only vmcs02: ", v02 & ~v12);
    add("both: ", v12 & v02);
    return parts.join(QStringLiteral(" · "));
}

}  // namespace

QString field_meaning(vmx::Field field, const vmx::Value& vmcs12, const vmx::Value& vmcs02, const vmx::VmcsImage* in12,
                      const vmx::VmcsImage* in02) {
    const auto say = [&](const vmx::Value& v, const vmx::VmcsImage* image) {
        if (!v.known()) return QString();
        return qs(image ? vmx::describe(field, v.bits, *image) : vmx::describe(field, v.bits));
    };
    const QString said12 = say(vmcs12, in12), said02 = say(vmcs02, in02);
    if (said12 == said02 || said02.isEmpty()) return said12;
    if (said12.isEmpty() && !vmcs12.known()) return said02;
    if (!vmx::bits_of(field).empty()) return flag_difference(field, vmcs12.bits, vmcs02.bits);
    return QStringLiteral("vmcs12: %1 · vmcs02: %2").arg(said12.isEmpty() ? QStringLiteral("–") : said12, said02);
}

QString step_without_seconds(const QString& text) {
    static const QRegularExpression seconds(QStringLiteral(" (… \\d+ s|\\(\\d+ s\\))$"));
    return QString(text).remove(seconds);
}

QString counted(quint64 count, const QString& noun) {
    return QStringLiteral("%1 %2%3").arg(count).arg(noun, count == 1 ? QString() : QStringLiteral("s"));
}

QString state_text(core::VcpuState state) {
    return qs(core::name_of(state));
}

}  // namespace vmxscope::ui
