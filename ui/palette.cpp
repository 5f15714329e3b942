#include "ui/palette.h"

#include <QApplication>
#include <QStyle>
#include <QStyleFactory>
#include <cmath>

namespace vmxscope::ui {

namespace {

Palette current{Theme::Light};

double luminance(const QColor& c) {
    const auto linear = [](double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
    return 0.2126 * linear(c.redF()) + 0.7152 * linear(c.greenF()) + 0.0722 * linear(c.blueF());
}

Look look(const char* text, const char* ground, const char* strong) {
    return {QColor(QLatin1String(text)), QColor(QLatin1String(ground)), QColor(QLatin1String(strong))};
}

}  // namespace

Palette::Palette(Theme theme) : theme_(theme) {}

QColor Palette::base() const {
    return dark() ? QColor(0x1c, 0x1f, 0x24) : QColor(0xff, 0xff, 0xff);
}
QColor Palette::text() const {
    return dark() ? QColor(0xe6, 0xe8, 0xeb) : QColor(0x1b, 0x1f, 0x24);
}
QColor Palette::muted() const {
    return dark() ? QColor(0x9a, 0xa2, 0xad) : QColor(0x5e, 0x66, 0x70);
}
QColor Palette::group() const {
    return dark() ? QColor(0x2a, 0x2f, 0x37) : QColor(0xe9, 0xec, 0xf0);
}
QColor Palette::line() const {
    return dark() ? QColor(0x3a, 0x40, 0x4a) : QColor(0xd3, 0xd8, 0xde);
}

QPalette Palette::qt() const {
    const QColor window = dark() ? QColor(0x25, 0x29, 0x30) : QColor(0xf4, 0xf5, 0xf7);
    const QColor accent = dark() ? QColor(0x2b, 0x5c, 0x86) : QColor(0x1f, 0x66, 0xa8);
    QPalette p(dark() ? QColor(0x32, 0x37, 0x40) : QColor(0xe6, 0xe8, 0xeb), window);
    p.setColor(QPalette::Window, window);
    p.setColor(QPalette::Base, base());
    p.setColor(QPalette::AlternateBase, dark() ? QColor(0x21, 0x25, 0x2b) : QColor(0xf8, 0xf9, 0xfa));
    for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::ToolTipText})
        p.setColor(role, text());
    p.setColor(QPalette::ToolTipBase, group());
    p.setColor(QPalette::PlaceholderText, muted());
    p.setColor(QPalette::Highlight, accent);
    p.setColor(QPalette::HighlightedText, Qt::white);
    p.setColor(QPalette::Link, dark() ? QColor(0x7f, 0xbe, 0xf5) : QColor(0x0b, 0x57, 0x9c));
    for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText})
        p.setColor(QPalette::Disabled, role, dark() ? QColor(0x6b, 0x72, 0x7c) : QColor(0x9a, 0xa1, 0xaa));
    return p;
}

Look Palette::mark(Mark mark) const {
    switch (mark) {
        case Mark::Copied:  // blue
        case Mark::CopiedUnused:
        case Mark::Worth:
            return dark() ? look("#9fd0ff", "#17324a", "#4ea6e6") : look("#0b4f86", "#e3effa", "#0072b2");
        case Mark::FromMemory:  // reddish purple
        case Mark::FromUserspace:
        case Mark::Edited:
            return dark() ? look("#efb8db", "#432a3c", "#cc79a7") : look("#7c2f5c", "#f8e8f1", "#b0518a");
        case Mark::Skipped:  // neutral
        case Mark::Unknown:
            return dark() ? look("#ccd2da", "#30353d", "#8d96a3") : look("#3f4750", "#eceef1", "#79828d");
        case Mark::Undefined:  // orange, and hatched
            return dark() ? look("#ffd38a", "#43351a", "#e69f00") : look("#6f4700", "#fdf0d5", "#c98500");
        case Mark::Alarm:  // vermillion
        case Mark::Disagree:
        case Mark::Finding:
            return dark() ? look("#ffb199", "#4c2418", "#ff7a45") : look("#8f2d00", "#fde6dc", "#d55e00");
        case Mark::Agree:  // bluish green
            return dark() ? look("#7fdcbc", "#143a30", "#2fb58d") : look("#00573f", "#dcf3ec", "#009e73");
        case Mark::None: break;
    }
    return {text(), base(), line()};
}

Look Palette::differs() const {
    return dark() ? look("#e6e8eb", "#2d3a24", "#9cbf5a") : look("#1b1f24", "#eef4dc", "#7a9a2e");
}

Look Palette::changed() const {
    return dark() ? look("#8fd3ff", "#1c1f24", "#56b4e9") : look("#00528c", "#ffffff", "#0072b2");
}

Look Palette::error() const {
    return mark(Mark::Alarm);
}
Look Palette::notice() const {
    return mark(Mark::Undefined);
}

QBrush Palette::hatch() const {
    QColor line = mark(Mark::Undefined).strong;
    line.setAlphaF(dark() ? 0.45F : 0.5F);
    return QBrush(line, Qt::BDiagPattern);
}

const Palette& colors() {
    return current;
}

void use_theme(Theme theme) {
    current = Palette(theme);
    // Fusion follows the palette everywhere; native styles paint parts of it in colours of their own.
    QApplication::setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
    QApplication::setPalette(current.qt());
}

Theme system_theme() {
    const QPalette p = QApplication::palette();
    return p.color(QPalette::Window).lightness() < p.color(QPalette::WindowText).lightness() ? Theme::Dark
                                                                                             : Theme::Light;
}

double contrast(const QColor& a, const QColor& b) {
    const double x = luminance(a), y = luminance(b);
    return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

}  // namespace vmxscope::ui
