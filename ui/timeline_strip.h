// The whole past in one strip: a lane for each vCPU, coloured by who ran; marks where something is undefined, and
// bookmarks. It is drawn from what the worker sampled for the pixels that there are. The wheel zooms, a drag moves it,
// a click goes there.
#pragma once

#include <QWidget>
#include <vector>

#include "ui/strip_picture.h"

class QTimer;

namespace vmxscope::ui {

class TimelineStrip : public QWidget {
    Q_OBJECT

  public:
    explicit TimelineStrip(QWidget* parent = nullptr);

    void show_picture(const StripPicture& picture);
    /// Another past begins.
    void forget();
    /// The past has grown.
    void outdated();
    /// The time of what is shown; 0: nothing is.
    void set_cursor(quint64 tsc);
    /// How time is written: 0: in cycles.
    void set_tsc_khz(quint64 khz) { khz_ = khz; }
    const StripPicture& picture() const { return picture_; }
    /// From `from` to `to`, within the past; the same twice: all of it.
    void zoom(quint64 from, quint64 to);

    QSize sizeHint() const override;
    QSize minimumSizeHint() const override;

  signals:
    void asked(const vmxscope::ui::StripRequest& request);
    void picked(quint64 tsc);
    void picked_mark(quint64 seq);

  protected:
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;
    void showEvent(QShowEvent* event) override;
    void wheelEvent(QWheelEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    bool event(QEvent* event) override;

  private:
    void ask();
    quint64 tsc_at(double x) const;
    double x_of(quint64 tsc) const;
    QRect lanes_rect() const;
    QString time_text(quint64 tsc) const;
    void paint_lane(QPainter& painter, const StripPicture::Lane& lane, const QRect& room) const;
    void paint_mark(QPainter& painter, const StripMark& mark) const;
    static QString mark_text(const StripMark& mark);
    const StripMark* mark_near(const QPoint& at) const;

    StripPicture picture_;
    quint64 from_ = 0, to_ = 0;  // shown; 0, 0: all
    quint64 cursor_ = 0, khz_ = 0;
    QTimer* pause_;
    QPoint pressed_;
    quint64 pressed_from_ = 0, pressed_to_ = 0;
    bool dragged_ = false;
};

}  // namespace vmxscope::ui
