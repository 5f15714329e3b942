// A line across the window that says what happened and offers what to do about it. Never a dialog in the way.
#pragma once

#include <QFrame>

class QLabel;
class QPushButton;

namespace vmxscope::ui {

class MessageBar : public QFrame {
    Q_OBJECT

  public:
    enum class Kind { Notice, Error };
    explicit MessageBar(QWidget* parent = nullptr);

    /// `button` empty: only "Dismiss" is offered.
    void say(Kind kind, const QString& what, const QString& remedy, const QString& button = {});
    void clear();
    QString text() const;
    void recolour();

  signals:
    void button_clicked();

  protected:
    void paintEvent(QPaintEvent* event) override;

  private:
    Kind kind_ = Kind::Notice;
    QLabel *glyph_, *text_;
    QPushButton *button_, *dismiss_;
};

}  // namespace vmxscope::ui
