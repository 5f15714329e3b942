// Widgets in a line that goes on below itself where the room ends.
#pragma once

#include <QLayout>
#include <QList>

namespace vmxscope::ui {

class WrapLayout : public QLayout {
    Q_OBJECT

  public:
    explicit WrapLayout(QWidget* parent, int gap = 4);
    ~WrapLayout() override;

    void addItem(QLayoutItem* item) override { items_ << item; }
    int count() const override { return static_cast<int>(items_.size()); }
    QLayoutItem* itemAt(int index) const override { return items_.value(index); }
    QLayoutItem* takeAt(int index) override;
    Qt::Orientations expandingDirections() const override { return {}; }
    bool hasHeightForWidth() const override { return true; }
    int heightForWidth(int width) const override { return arrange(QRect(0, 0, width, 0), false); }
    void setGeometry(const QRect& rect) override;
    QSize sizeHint() const override { return minimumSize(); }
    QSize minimumSize() const override;

  private:
    /// The height needed; with `place` the items are put there, too.
    int arrange(const QRect& rect, bool place) const;

    QList<QLayoutItem*> items_;
    int gap_;  // pixels
};

}  // namespace vmxscope::ui
