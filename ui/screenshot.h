// A picture of the window without a person: attach, step, render, save.
#pragma once

#include <QElapsedTimer>
#include <QObject>
#include <QString>

#include "ui/main_window.h"
#include "ui/session.h"

class QTimer;

namespace vmxscope::ui {

struct ScreenshotJob {
    QString target, file;  // no target: the page that lists them
    int steps = 1;
    core::StepKind kind = core::StepKind::Transition;
    int limit_s = 600;  // for one stop to come; attaching has its own limits
    QSize size{1720, 980};
    QString panel{};                    // the object name of the dock to be in front; empty: as it comes
    std::optional<vmx::Field> field{};  // to be selected
};

class Screenshot : public QObject {
    Q_OBJECT

  public:
    Screenshot(MainWindow& window, Session& session, ScreenshotJob job, QObject* parent = nullptr);
    void start();

  signals:
    /// What is being done: for a terminal.
    void progress(const QString& text);
    /// `error` empty: the picture is in the file.
    void done(const QString& error);

  private:
    void say(const QString& text);
    void wait_for_list();
    void next();
    void take();
    void save();
    void fail(const QString& what);

    MainWindow& window_;
    Session& session_;
    ScreenshotJob job_;
    int stepped_ = 0;
    bool over_ = false;
    QTimer* limit_;
    QString said_;
    QElapsedTimer present_, again_;  // since this was said first, and last
};

}  // namespace vmxscope::ui
