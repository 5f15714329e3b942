// Paints every table and tree of the program from the roles of ui/roles.h, so that a mark looks the same everywhere.
#pragma once

#include <QStyledItemDelegate>

#include "ui/palette.h"

namespace vmxscope::ui {

class CellDelegate : public QStyledItemDelegate {
    Q_OBJECT

  public:
    using QStyledItemDelegate::QStyledItemDelegate;

    void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
    QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;

    /// The font that figures are set in, of the same size as `base`.
    static QFont figure_font(const QFont& base);
    /// The font of second lines.
    static QFont detail_font(const QFont& base);

  private:
    struct Style {
        Look look;
        QString glyphs;  // left of the text
        QColor glyph_colour;
        QFont font;
        Qt::Alignment align;
    };
    Style style_of(const QStyleOptionViewItem& option, const QModelIndex& index) const;
    static void paint_ground(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index,
                             const Style& s);
    static void draw_text(QPainter* painter, const QRect& room, int flags, const QString& text, const Style& s,
                          const QModelIndex& index);
};

}  // namespace vmxscope::ui
