#include "ui/cell_delegate.h"

#include <QFontDatabase>
#include <QPainter>
#include <QTreeView>

#include "ui/roles.h"
#include "vmx/value.h"

namespace vmxscope::ui {

namespace {

constexpr int kPadX = 6, kPadY = 3;
constexpr int kMainFlags = Qt::TextWordWrap | Qt::AlignLeft | Qt::AlignTop;
constexpr int kDetailFlags = Qt::TextWordWrap | Qt::AlignLeft | Qt::AlignTop;

bool flag(const QModelIndex& index, Role role) {
    return index.data(role).toBool();
}

/// Lets a long name ("evmptr_is_valid(hv_evmcs_vmptr)") be broken where its words end: with zero-width spaces.
QString breakable(QString text) {
    for (const QChar c : {u'_', u'(', u'&'}) text.replace(c, QString(c) + QChar(0x200b));
    return text;
}

/// Height of the text above a detail.
int main_height(const QFontMetrics& metrics, const QString& text, int width) {
    return metrics.boundingRect(QRect(0, 0, width, 10'000), kMainFlags, text).height();
}

bool is_value(const QModelIndex& index) {
    const QVariant state = index.data(StateRole);
    return !state.isValid() || state.toInt() == static_cast<int>(vmx::Known::Yes);
}

}  // namespace

QFont CellDelegate::figure_font(const QFont& base) {
    QFont font = QFontDatabase::systemFont(QFontDatabase::FixedFont);
    font.setPointSizeF(base.pointSizeF());
    return font;
}

QFont CellDelegate::detail_font(const QFont& base) {
    QFont font = base;
    font.setPointSizeF(base.pointSizeF() * 0.9);
    return font;
}

CellDelegate::Style CellDelegate::style_of(const QStyleOptionViewItem& option, const QModelIndex& index) const {
    Style s{{colors().text(), {}, {}}, {}, colors().muted(), option.font, Qt::AlignLeft};
    const QVariant align = index.data(Qt::TextAlignmentRole);
    if (align.isValid()) s.align = Qt::Alignment(align.toInt()) & Qt::AlignHorizontal_Mask;
    if (flag(index, GroupRole)) {
        s.look.ground = colors().group();
        s.font.setBold(index.column() == 0);
        if (index.column() != 0) s.look.text = colors().muted();
        return s;
    }
    if (flag(index, FigureRole)) {
        s.font = figure_font(option.font);
        if (index.data(DiffersRole).isValid()) s.align = Qt::AlignRight;
    }
    if (const auto mark = static_cast<Mark>(index.data(MarkRole).toInt()); mark != Mark::None)
        s.look.text = colors().mark(mark).text;
    const bool figure = flag(index, FigureRole);
    if (figure && flag(index, DiffersRole)) {
        s.look = colors().differs();
        s.glyph_colour = s.look.text;
        if (index.column() == 2) s.glyphs = QStringLiteral("≠");
    }
    if (figure && flag(index, ChangedRole)) {
        s.font.setBold(true);
        s.glyphs += QStringLiteral("Δ");
        s.glyph_colour = colors().changed().text;
    }
    if (flag(index, UndefinedRole) && figure) {
        s.look = colors().mark(Mark::Undefined);
        s.glyphs = glyph_of(Mark::Undefined) + s.glyphs;
        s.glyph_colour = s.look.text;
    }
    if (flag(index, EditedRole)) {
        s.look = colors().mark(Mark::Edited);
        s.glyphs = glyph_of(Mark::Edited) + s.glyphs;
        s.glyph_colour = s.look.text;
    }
    if (flag(index, MeaninglessRole)) {
        s.look.text = s.glyph_colour = colors().muted();
        s.font.setBold(false);
        s.font.setItalic(true);
    }
    if (flag(index, GapRole)) s.glyphs = QStringLiteral("⋮");
    if (!is_value(index)) {
        s.look.text = colors().muted();
        s.font = option.font;
        s.font.setItalic(true);
    }
    return s;
}

void CellDelegate::paint_ground(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index,
                                const Style& s) {
    const bool selected = option.state & QStyle::State_Selected;
    if (selected)
        painter->fillRect(option.rect, option.palette.brush(QPalette::Highlight));
    else if (s.look.ground.isValid())
        painter->fillRect(option.rect, s.look.ground);
    if (flag(index, UndefinedRole) && flag(index, FigureRole)) painter->fillRect(option.rect, colors().hatch());
}

void CellDelegate::draw_text(QPainter* painter, const QRect& room, int flags, const QString& text, const Style& s,
                             const QModelIndex& index) {
    if (flag(index, UndefinedRole) && flag(index, FigureRole)) {
        // Hatching behind letters is hard to read.
        const QRect letters = painter->boundingRect(room, flags, text).adjusted(-3, 0, 3, 0);
        painter->fillRect(letters, s.look.ground);
    }
    painter->drawText(room, flags, text);
}

void CellDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const {
    const Style s = style_of(option, index);
    painter->save();
    painter->setClipRect(option.rect);
    paint_ground(painter, option, index, s);
    const bool selected = option.state & QStyle::State_Selected;
    const bool enabled = option.state & QStyle::State_Enabled;
    const QColor text = selected ? option.palette.color(QPalette::HighlightedText) : enabled ? s.look.text : colors().muted();
    QRect room = option.rect.adjusted(kPadX, kPadY, -kPadX, -kPadY);

    if (!s.glyphs.isEmpty()) {
        painter->setFont(option.font);
        painter->setPen(selected ? text : s.glyph_colour);
        painter->drawText(room, Qt::AlignLeft | Qt::AlignTop, s.glyphs);
        room.setLeft(room.left() + QFontMetrics(option.font).horizontalAdvance(s.glyphs) + 4);
    }
    const QString detail = index.data(DetailRole).toString();
    const QFontMetrics metrics(s.font);
    painter->setFont(s.font);
    painter->setPen(text);
    const QString main = detail.isEmpty() ? index.data().toString() : breakable(index.data().toString());
    if (detail.isEmpty()) {
        // Of a long place ("function+0x4a0") both ends count.
        const auto elide = flag(index, FigureRole) ? Qt::ElideMiddle : Qt::ElideRight;
        draw_text(painter, room, int(s.align) | Qt::AlignVCenter, metrics.elidedText(main, elide, room.width()), s,
                  index);
    } else {
        const int height = main_height(metrics, main, room.width());
        draw_text(painter, QRect(room.left(), room.top(), room.width(), height), kMainFlags, main, s, index);
        painter->setFont(detail_font(option.font));
        painter->setPen(selected || flag(index, UndefinedRole) ? text : colors().muted());
        draw_text(painter, room.adjusted(0, height + 1, 0, 0), kDetailFlags, detail, s, index);
    }
    painter->restore();
}

QSize CellDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const {
    const Style s = style_of(option, index);
    const QFontMetrics metrics(s.font);
    int width = metrics.horizontalAdvance(index.data().toString());
    if (!s.glyphs.isEmpty()) width += QFontMetrics(option.font).horizontalAdvance(s.glyphs) + 4;
    int height = std::max(metrics.height(), QFontMetrics(option.font).height());
    const QString detail = index.data(DetailRole).toString();
    if (!detail.isEmpty()) {
        const int glyphs = s.glyphs.isEmpty() ? 0 : QFontMetrics(option.font).horizontalAdvance(s.glyphs) + 4;
        // A tree does not say how wide the item will be; its column is.
        const auto* tree = qobject_cast<const QTreeView*>(option.widget);
        const int given = tree ? tree->columnWidth(index.column()) : option.rect.width();
        const int room = given > 0 ? given - 2 * kPadX - glyphs : 400;
        height = main_height(metrics, breakable(index.data().toString()), room);
        const QFontMetrics small(detail_font(option.font));
        height += 1 + small.boundingRect(QRect(0, 0, room, 10'000), kDetailFlags, detail).height();
    }
    return {width + 2 * kPadX + 2, height + 2 * kPadY};
}

}  // namespace vmxscope::ui
