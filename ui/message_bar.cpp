#include "ui/message_bar.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QPainter>
#include <QPushButton>

#include "ui/palette.h"

namespace vmxscope::ui {

MessageBar::MessageBar(QWidget* parent)
    : QFrame(parent),
      glyph_(new QLabel(this)),
      text_(new QLabel(this)),
      button_(new QPushButton(this)),
      dismiss_(new QPushButton(QStringLiteral("Dismiss"), this)) {
    text_->setWordWrap(true);
    text_->setTextFormat(Qt::PlainText);
    text_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    QFont large = glyph_->font();
    large.setPointSizeF(large.pointSizeF() * 1.4);
    glyph_->setFont(large);
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(12, 6, 8, 6);
    layout->setSpacing(10);
    layout->addWidget(glyph_);
    layout->addWidget(text_, 1);
    layout->addWidget(button_);
    layout->addWidget(dismiss_);
    connect(button_, &QPushButton::clicked, this, [this] {
        if (const auto act = act_) act();  // it may say something else
    });
    connect(dismiss_, &QPushButton::clicked, this, &MessageBar::clear);
    clear();
}

void MessageBar::say(Kind kind, const QString& what, const QString& remedy, Offer offer) {
    kind_ = kind;
    glyph_->setText(kind == Kind::Error ? QStringLiteral("⚠") : QStringLiteral("ℹ"));
    text_->setText(remedy.isEmpty() ? what : what + QLatin1Char(' ') + remedy);
    button_->setText(offer.words);
    button_->setVisible(!offer.words.isEmpty());
    act_ = std::move(offer.act);
    recolour();
    show();
}

void MessageBar::clear() {
    text_->clear();
    hide();
}

QString MessageBar::text() const {
    return text_->text();
}

void MessageBar::recolour() {
    const Look look = kind_ == Kind::Error ? colors().error() : colors().notice();
    for (QLabel* label : {glyph_, text_}) {
        QPalette p = label->palette();
        p.setColor(QPalette::WindowText, look.text);
        label->setPalette(p);
    }
    update();
}

void MessageBar::paintEvent(QPaintEvent*) {
    const Look look = kind_ == Kind::Error ? colors().error() : colors().notice();
    QPainter painter(this);
    painter.fillRect(rect(), look.ground);
    painter.fillRect(QRect(0, height() - 2, width(), 2), look.strong);
}

}  // namespace vmxscope::ui
