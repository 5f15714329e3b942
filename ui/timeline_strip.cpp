#include "ui/timeline_strip.h"

#include <QHelpEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QTimer>
#include <QToolTip>
#include <QWheelEvent>
#include <algorithm>
#include <cmath>

#include "ui/palette.h"
#include "ui/verdict_text.h"

namespace vmxscope::ui {

namespace {

constexpr int kLabel = 58, kRight = 8;  // pixels beside the lanes
constexpr int kTop = 14;                // for marks
constexpr int kLaneHeight = 16, kGap = 3, kFoot = 18;
constexpr int kMostLanesSeen = 8;
constexpr int kPauseMs = 80;
constexpr quint64 kLeastCycles = 64;  // that a strip is zoomed to

QColor level_colour(int level) {
    switch (level) {
        case 1: return colors().mark(Mark::Copied).strong;
        case 2: return colors().mark(Mark::Agree).strong;
        default: return colors().mark(Mark::Skipped).strong;
    }
}

}  // namespace

TimelineStrip::TimelineStrip(QWidget* parent) : QWidget(parent), pause_(new QTimer(this)) {
    pause_->setSingleShot(true);
    pause_->setInterval(kPauseMs);
    connect(pause_, &QTimer::timeout, this, &TimelineStrip::ask);
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    setMouseTracking(true);
    setAccessibleName(QStringLiteral("Timeline"));
}

QSize TimelineStrip::sizeHint() const {
    const int lanes = std::clamp(static_cast<int>(picture_.lanes.size()), 1, kMostLanesSeen);
    return {600, kTop + lanes * (kLaneHeight + kGap) + kFoot};
}
QSize TimelineStrip::minimumSizeHint() const {
    return {200, sizeHint().height()};
}

QRect TimelineStrip::lanes_rect() const {
    return {kLabel, kTop, std::max(1, width() - kLabel - kRight), std::max(1, height() - kTop - kFoot)};
}

void TimelineStrip::show_picture(const StripPicture& picture) {
    const bool lanes = picture.lanes.size() != picture_.lanes.size();
    picture_ = picture;
    if (lanes) updateGeometry();
    update();
}

void TimelineStrip::forget() {
    picture_ = {};
    from_ = to_ = cursor_ = 0;
    pause_->start();
    update();
}

void TimelineStrip::outdated() {
    if (!pause_->isActive()) pause_->start();
}

void TimelineStrip::ask() {
    if (isVisible()) emit asked({from_, to_, lanes_rect().width()});
}

void TimelineStrip::set_cursor(quint64 tsc) {
    cursor_ = tsc;
    // What is shown is to be seen, also when it was gone to in another way.
    if (to_ > from_ && tsc != 0 && (tsc < from_ || tsc > to_)) {
        const quint64 wide = to_ - from_;
        zoom(tsc > wide / 2 ? tsc - wide / 2 : 0, tsc + wide / 2);
    }
    update();
}

void TimelineStrip::zoom(quint64 from, quint64 to) {
    if (picture_.last_tsc <= picture_.first_tsc) return;
    from = std::max(from, picture_.first_tsc);
    to = std::min(to, picture_.last_tsc);
    if (to <= from || (from == picture_.first_tsc && to == picture_.last_tsc))
        from_ = to_ = 0;
    else {
        from_ = from;
        to_ = std::max(to, from + kLeastCycles);
    }
    pause_->start();
}

quint64 TimelineStrip::tsc_at(double x) const {
    const QRect room = lanes_rect();
    const StripRequest& r = picture_.request;
    const double share = std::clamp((x - room.left()) / room.width(), 0.0, 1.0);
    return r.from_tsc + static_cast<quint64>(share * static_cast<double>(r.to_tsc - r.from_tsc));
}

double TimelineStrip::x_of(quint64 tsc) const {
    const QRect room = lanes_rect();
    const StripRequest& r = picture_.request;
    if (r.to_tsc <= r.from_tsc) return -1;
    const double since = static_cast<double>(tsc) - static_cast<double>(r.from_tsc);
    return room.left() + since / static_cast<double>(r.to_tsc - r.from_tsc) * room.width();
}

QString TimelineStrip::time_text(quint64 tsc) const {
    const double cycles = static_cast<double>(tsc) - static_cast<double>(picture_.first_tsc);
    if (khz_ == 0) return QStringLiteral("%1 cycles").arg(cycles, 0, 'g', 6);
    const double us = cycles / static_cast<double>(khz_) * 1e3;
    if (us < 1e3) return QStringLiteral("%1 µs").arg(us, 0, 'f', 1);
    return us < 1e6 ? QStringLiteral("%1 ms").arg(us / 1e3, 0, 'f', 2)
                    : QStringLiteral("%1 s").arg(us / 1e6, 0, 'f', 3);
}

void TimelineStrip::paint_lane(QPainter& painter, const StripPicture::Lane& lane, const QRect& room) const {
    painter.fillRect(room, colors().base());
    const int width = std::min(room.width(), static_cast<int>(lane.shares.size()));
    for (int x = 0; x < width; ++x) {
        int top = room.top();
        const auto& shares = lane.shares[static_cast<std::size_t>(x)];
        const float whole = shares[0] + shares[1] + shares[2];
        if (whole <= 0) continue;
        for (const int level : {2, 1, 0}) {
            const int high = static_cast<int>(
                std::lround(shares[static_cast<std::size_t>(level)] / whole * static_cast<float>(room.height())));
            painter.fillRect(room.left() + x, top, 1, std::min(high, room.bottom() + 1 - top), level_colour(level));
            top += high;
        }
    }
}

/// Undefined values are short lines, alarms long ones, bookmarks flags.
void TimelineStrip::paint_mark(QPainter& painter, const StripMark& mark) const {
    const int x = static_cast<int>(x_of(mark.tsc));
    if (mark.what == StripMark::What::Bookmark) {
        const QPoint flag[] = {{x, 1}, {x + 7, 4}, {x, 7}};
        painter.setPen(colors().text());
        painter.drawLine(x, 1, x, kTop - 2);
        painter.setBrush(colors().text());
        painter.drawPolygon(flag, 3);
        return;
    }
    const bool alarm = mark.what == StripMark::What::Alarm;
    painter.setPen(colors().mark(alarm ? Mark::Alarm : Mark::Undefined).strong);
    painter.drawLine(x, kTop - (alarm ? 11 : 6), x, kTop - 2);
}

/// What a mark says to who points at it.
QString TimelineStrip::mark_text(const StripMark& mark) {
    const QString what = mark.what == StripMark::What::Alarm       ? QStringLiteral("undefined and used")
                         : mark.what == StripMark::What::Undefined ? QStringLiteral("undefined values, or a finding")
                         : mark.note.isEmpty()                     ? QStringLiteral("a bookmark")
                                                                   : mark.note;
    return QStringLiteral("#%1: %2").arg(mark.seq).arg(what);
}

void TimelineStrip::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    painter.fillRect(rect(), palette().color(QPalette::Window));
    const QRect room = lanes_rect();
    const auto lanes = std::min<std::size_t>(picture_.lanes.size(), kMostLanesSeen);
    painter.setPen(colors().text());
    for (std::size_t i = 0; i < lanes; ++i) {
        const QRect lane(room.left(), room.top() + static_cast<int>(i) * (kLaneHeight + kGap), room.width(),
                         kLaneHeight);
        paint_lane(painter, picture_.lanes[i], lane);
        painter.setPen(colors().muted());
        painter.drawText(QRect(8, lane.top(), kLabel - 12, lane.height()), Qt::AlignLeft | Qt::AlignVCenter,
                         QStringLiteral("vCPU %1").arg(picture_.lanes[i].vcpu));
    }
    for (const StripMark& mark : picture_.marks) {
        paint_mark(painter, mark);
    }
    if (cursor_ != 0 && !picture_.lanes.empty()) {
        const int x = static_cast<int>(x_of(cursor_));
        if (x >= room.left() && x <= room.right() + 1) {
            painter.setPen(QPen(colors().text(), 2));
            painter.drawLine(x, 1, x, room.bottom() + 2);
        }
    }
    if (picture_.lanes.empty()) return;
    const QRect foot(room.left(), height() - kFoot, room.width(), kFoot);
    painter.setPen(colors().muted());
    painter.drawText(foot, Qt::AlignLeft | Qt::AlignVCenter, time_text(picture_.request.from_tsc));
    painter.drawText(foot, Qt::AlignRight | Qt::AlignVCenter, time_text(picture_.request.to_tsc));
    const char* names[] = {"L0", "L1", "L2"};
    int x = foot.center().x() - 80;
    for (const int level : {1, 2, 0}) {
        painter.fillRect(x, foot.center().y() - 4, 10, 10, level_colour(level));
        painter.drawText(QRect(x + 14, foot.top(), 40, foot.height()), Qt::AlignLeft | Qt::AlignVCenter,
                         QString::fromLatin1(names[level]));
        x += 54;
    }
}

void TimelineStrip::resizeEvent(QResizeEvent* event) {
    QWidget::resizeEvent(event);
    pause_->start();
}

void TimelineStrip::showEvent(QShowEvent* event) {
    QWidget::showEvent(event);
    pause_->start();
}

void TimelineStrip::wheelEvent(QWheelEvent* event) {
    const StripRequest& r = picture_.request;
    if (r.to_tsc <= r.from_tsc || event->angleDelta().y() == 0) return event->ignore();
    const double factor = std::pow(0.8, event->angleDelta().y() / 120.0);
    const double at = static_cast<double>(tsc_at(event->position().x()));
    const double from = std::max(0.0, at - (at - static_cast<double>(r.from_tsc)) * factor);
    const double to = at + (static_cast<double>(r.to_tsc) - at) * factor;
    zoom(static_cast<quint64>(from), static_cast<quint64>(std::min(to, static_cast<double>(picture_.last_tsc))));
    event->accept();
}

void TimelineStrip::mousePressEvent(QMouseEvent* event) {
    pressed_ = event->pos();
    pressed_from_ = picture_.request.from_tsc;
    pressed_to_ = picture_.request.to_tsc;
    dragged_ = false;
}

void TimelineStrip::mouseMoveEvent(QMouseEvent* event) {
    constexpr int kDrag = 5;
    if (!(event->buttons() & Qt::LeftButton) || to_ <= from_) return;
    const int moved = pressed_.x() - event->pos().x();
    if (!dragged_ && std::abs(moved) < kDrag) return;
    dragged_ = true;
    const double wide = static_cast<double>(pressed_to_ - pressed_from_);
    const double lowest = static_cast<double>(picture_.first_tsc),
                 highest = static_cast<double>(picture_.last_tsc) - wide;
    const double from = std::clamp(static_cast<double>(pressed_from_) + moved * wide / lanes_rect().width(), lowest,
                                   std::max(lowest, highest));
    zoom(static_cast<quint64>(from), static_cast<quint64>(from + wide));
}

const StripMark* TimelineStrip::mark_near(const QPoint& at) const {
    const StripMark* best = nullptr;
    double nearest = 4;  // pixels
    for (const StripMark& mark : picture_.marks)
        if (const double far = std::abs(x_of(mark.tsc) - at.x()); far < nearest) {
            nearest = far;
            best = &mark;
        }
    return best;
}

void TimelineStrip::mouseReleaseEvent(QMouseEvent* event) {
    if (dragged_ || event->button() != Qt::LeftButton || picture_.lanes.empty()) return;
    const StripMark* mark = event->pos().y() < kTop ? mark_near(event->pos()) : nullptr;
    if (mark)
        emit picked_mark(mark->seq);
    else
        emit picked(tsc_at(event->position().x()));
}

void TimelineStrip::mouseDoubleClickEvent(QMouseEvent*) {
    zoom(0, 0);
}

bool TimelineStrip::event(QEvent* event) {
    if (event->type() != QEvent::ToolTip || picture_.lanes.empty()) return QWidget::event(event);
    const QPoint at = static_cast<QHelpEvent*>(event)->pos();
    const StripMark* mark = mark_near(at);
    QString text = time_text(tsc_at(at.x()));
    if (mark && at.y() < kTop) text = mark_text(*mark);
    QToolTip::showText(static_cast<QHelpEvent*>(event)->globalPos(),
                       text + QStringLiteral("\nWheel: zoom. Double click: all."), this);
    return true;
}

}  // namespace vmxscope::ui
