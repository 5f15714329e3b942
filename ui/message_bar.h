// A line across the window that says what happened and offers what to do about it. Never a dialog in the way.
#pragma once

#include <QFrame>
#include <functional>

class QLabel;
class QPushButton;

namespace vmxscope::ui {

class MessageBar : public QFrame {
    Q_OBJECT

  public:
    enum class Kind { Notice, Error };
    explicit MessageBar(QWidget* parent = nullptr);

    /// What can be done about it: a button's words, and what it does.
    struct Offer {
        QString words;
        std::function<void()> act;
    };
    /// Without an offer there is only "Dismiss".
    void say(Kind kind, const QString& what, const QString& remedy, Offer offer = {});
    void clear();
    QString text() const;
    void recolour();

  protected:
    void paintEvent(QPaintEvent* event) override;

  private:
    Kind kind_ = Kind::Notice;
    std::function<void()> act_;
    QLabel *glyph_, *text_;
    QPushButton *button_, *dismiss_;
};

}  // namespace vmxscope::ui
