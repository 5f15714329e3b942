#include "ui/verdict_banner.h"

#include <QLabel>
#include <QPainter>
#include <QVBoxLayout>

#include "ui/labels.h"
#include "ui/palette.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr int kTagPadX = 9, kTagPadY = 5;
constexpr int kTagFlags = Qt::TextWordWrap | Qt::AlignLeft | Qt::AlignVCenter;
constexpr int kBar = 6;  // pixels, of the strong colour at the left edge

QFont scaled(QFont font, double factor, bool bold) {
    font.setPointSizeF(font.pointSizeF() * factor);
    font.setBold(bold);
    return font;
}

}  // namespace

Tag::Tag(QWidget* parent) : QWidget(parent) {
    QSizePolicy policy(QSizePolicy::Preferred, QSizePolicy::Preferred);
    policy.setHeightForWidth(true);
    setSizePolicy(policy);
}

void Tag::say(Mark mark, const QString& text) {
    mark_ = mark;
    text_ = text;
    setVisible(!text.isEmpty());
    setAccessibleName(text);
    updateGeometry();
    update();
}

QString Tag::full_text() const {
    return glyph_of(mark_) + QLatin1Char(' ') + text_;
}

QSize Tag::sizeHint() const {
    const QFontMetrics metrics(scaled(font(), 1.0, true));
    return {metrics.horizontalAdvance(full_text()) + 2 * kTagPadX + 4, metrics.height() + 2 * kTagPadY};
}

QSize Tag::minimumSizeHint() const {
    return {0, sizeHint().height()};
}

int Tag::heightForWidth(int width) const {
    const QFontMetrics metrics(scaled(font(), 1.0, true));
    const QRect room(0, 0, width - 2 * kTagPadX, 10'000);
    return metrics.boundingRect(room, kTagFlags, full_text()).height() + 2 * kTagPadY;
}

void Tag::paintEvent(QPaintEvent*) {
    const Look look = colors().mark(mark_);
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    const QRect box = rect().adjusted(1, 1, -1, -1);
    painter.setPen(QPen(look.strong, 1.5));
    painter.setBrush(look.ground);
    painter.drawRoundedRect(box, 4, 4);
    painter.setFont(scaled(font(), 1.0, true));
    const QRect room = rect().adjusted(kTagPadX, 0, -kTagPadX, 0);
    if (mark_ == Mark::Undefined) {
        painter.setPen(Qt::NoPen);
        painter.setBrush(colors().hatch());
        painter.drawRoundedRect(box, 4, 4);
        // The word stays on plain ground: hatching behind letters is hard to read.
        painter.fillRect(painter.boundingRect(room, kTagFlags, full_text()).adjusted(-4, -1, 4, 1), look.ground);
    }
    painter.setPen(look.text);
    painter.drawText(room, kTagFlags, full_text());
}

VerdictBanner::VerdictBanner(QWidget* parent)
    : QWidget(parent),
      word_(new QLabel(this)),
      where_(wrapped_label(this)),
      reason_(wrapped_label(this)),
      used_(wrapped_label(this)),
      undefined_(new Tag(this)),
      alarm_(new Tag(this)) {
    word_->setFont(scaled(font(), 2.0, true));
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kBar + 12, 10, 12, 12);
    layout->setSpacing(5);
    layout->addWidget(word_);
    layout->addWidget(where_);
    layout->addWidget(reason_);
    layout->addWidget(used_);
    layout->addWidget(alarm_);
    layout->addWidget(undefined_);
    show_verdict(nullptr, std::nullopt);
}

void VerdictBanner::show_verdict(const TransitionPtr& transition, const std::optional<nested::Verdict>& verdict) {
    mark_ = verdict ? (verdict->alarm ? Mark::Alarm : mark_of(verdict->did)) : Mark::None;
    if (!verdict || !transition) {
        word_->setText(QStringLiteral("No verdict yet"));
        where_->clear();
        reason_->setText(
            QStringLiteral("Nested entries and exits move the PDPTRs; none has been seen. Step to the next "
                           "one with F9."));
        used_->clear();
        undefined_->say(Mark::None, {});
        alarm_->say(Mark::None, {});
    } else {
        const bool entry = verdict->direction == nested::Direction::Entry;
        word_->setText(glyph_of(mark_of(verdict->did)) + QLatin1Char(' ') + banner_word(verdict->did));
        where_->setText((entry ? QStringLiteral("vmcs12 → vmcs02") : QStringLiteral("vmcs02 → vmcs12")) +
                        QStringLiteral("  at %1 · vCPU %2").arg(headline(*transition)).arg(transition->vcpu));
        reason_->setText(qs(verdict->reason));
        used_->setText(used_text(*verdict));
        undefined_->say(Mark::Undefined, undefined_text(*verdict));
        alarm_->say(Mark::Alarm, alarm_text(*verdict));
    }
    where_->setVisible(!where_->text().isEmpty());
    used_->setVisible(!used_->text().isEmpty());
    recolour();
}

void VerdictBanner::recolour() {
    const Look look = colors().mark(mark_);
    set_text_colour(word_, look.text);
    set_text_colour(where_, look.text);
    set_text_colour(reason_, colors().text());
    set_text_colour(used_, colors().text());
    update();
}

void VerdictBanner::paintEvent(QPaintEvent*) {
    const Look look = colors().mark(mark_);
    QPainter painter(this);
    painter.fillRect(rect(), look.ground);
    painter.fillRect(QRect(0, 0, kBar, height()), look.strong);
}

}  // namespace vmxscope::ui
