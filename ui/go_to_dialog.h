// Asks where to go in time: a number, a time, or a condition. What is wrong with it is said before anything is looked
// for.
#pragma once

#include <QDialog>

class QLabel;
class QLineEdit;

namespace vmxscope::ui {

class GoToDialog : public QDialog {
    Q_OBJECT

  public:
    explicit GoToDialog(const QString& before, QWidget* parent = nullptr);
    QLineEdit* line() { return line_; }
    QString error() const;

  signals:
    void asked(const QString& where);

  private:
    void go();

    QLineEdit* line_;
    QLabel* error_;
};

/// Empty: it is a number, a time, or a good condition. Else what is wrong, with the place underlined.
QString go_to_error(const QString& where);

}  // namespace vmxscope::ui
