#include "ui/icons.h"

#include <QFile>
#include <QPainter>
#include <QSvgRenderer>

#include "ui/palette.h"

/// Resources in a static library are linked only when somebody asks for them; Qt's macro must be outside namespaces.
static void load_resources() {
    Q_INIT_RESOURCE(icons);
}

namespace vmxscope::ui {

namespace {

constexpr int kPixels = 48;  // drawn large once; Qt scales down for the tool bar

QPixmap draw(QByteArray svg, const QColor& colour) {
    svg.replace("currentColor", colour.name().toLatin1());
    QPixmap pixmap(kPixels, kPixels);
    pixmap.fill(Qt::transparent);
    QPainter painter(&pixmap);
    QSvgRenderer(svg).render(&painter);
    return pixmap;
}

}  // namespace

QIcon themed_icon(const QString& name) {
    load_resources();
    QFile file(QStringLiteral(":/icons/%1.svg").arg(name));
    if (!file.open(QIODevice::ReadOnly)) return {};
    const QByteArray svg = file.readAll();
    const QPalette p = colors().qt();
    QIcon icon;
    icon.addPixmap(draw(svg, p.color(QPalette::ButtonText)), QIcon::Normal);
    icon.addPixmap(draw(svg, p.color(QPalette::Disabled, QPalette::ButtonText)), QIcon::Disabled);
    return icon;
}

QIcon application_icon() {
    load_resources();
    return QIcon(QStringLiteral(":/icons/vmxscope.svg"));
}

}  // namespace vmxscope::ui
