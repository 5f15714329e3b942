#include "ui/wrap_layout.h"

#include <QWidget>
#include <algorithm>

namespace vmxscope::ui {

WrapLayout::WrapLayout(QWidget* parent, int gap) : QLayout(parent), gap_(gap) {
    setContentsMargins(0, 0, 0, 0);
}

WrapLayout::~WrapLayout() {
    qDeleteAll(items_);
}

QLayoutItem* WrapLayout::takeAt(int index) {
    return index >= 0 && index < count() ? items_.takeAt(index) : nullptr;
}

void WrapLayout::setGeometry(const QRect& rect) {
    QLayout::setGeometry(rect);
    arrange(rect, true);
}

QSize WrapLayout::minimumSize() const {
    QSize size;
    for (const QLayoutItem* item : items_)
        if (!item->isEmpty()) size = size.expandedTo(item->minimumSize());
    return size;
}

int WrapLayout::arrange(const QRect& rect, bool place) const {
    int x = rect.x(), y = rect.y(), line = 0;
    for (QLayoutItem* item : items_) {
        if (item->isEmpty()) continue;
        const int width = std::min(item->sizeHint().width(), rect.width());
        const int height = item->hasHeightForWidth() ? item->heightForWidth(width) : item->sizeHint().height();
        if (x > rect.x() && x + width > rect.right() + 1) {
            x = rect.x();
            y += line + gap_;
            line = 0;
        }
        if (place) item->setGeometry(QRect(x, y, width, height));
        x += width + gap_;
        line = std::max(line, height);
    }
    return y + line - rect.y();
}

}  // namespace vmxscope::ui
