// What the window shows while there is nothing to inspect: the targets, or how far an attach has come.
#pragma once

#include <QElapsedTimer>
#include <QWidget>

class QLabel;
class QListWidget;
class QProgressBar;
class QTimer;

namespace vmxscope::ui {

class TargetPicker;

class WelcomePage : public QWidget {
    Q_OBJECT

  public:
    explicit WelcomePage(QWidget* parent = nullptr);
    TargetPicker* picker() const { return picker_; }
    /// Recordings that come with the program, by path; none: they are not spoken of.
    void set_samples(const QStringList& files);

  signals:
    void trace_asked(const QString& file);
    void open_trace_asked();

  private:
    TargetPicker* picker_;
    QLabel* samples_caption_;
    QListWidget* samples_;
};

/// Every step so far stays readable, and the seconds of the present one count: nobody looks at a dead bar.
class AttachPage : public QWidget {
    Q_OBJECT

  public:
    explicit AttachPage(QWidget* parent = nullptr);
    void begin(const QString& uri);
    void progress(const QString& text, double fraction);
    void end();

  signals:
    void cancelled();

  private:
    void refresh();
    QLabel *title_, *steps_, *elapsed_;
    QProgressBar* bar_;
    QTimer* tick_;
    QElapsedTimer since_, step_since_;
    QStringList done_;
    QString present_;
};

}  // namespace vmxscope::ui
