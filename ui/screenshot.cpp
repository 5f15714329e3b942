#include "ui/screenshot.h"

#include <QTimer>

#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr int kSettleMs = 200;         // rows are fetched, layouts settle in the event loop, some after others
constexpr int kListSettlesMs = 1'000;
constexpr qint64 kSayAgainMs = 3'000;  // how long a terminal may be silent

}  // namespace

Screenshot::Screenshot(MainWindow& window, Session& session, ScreenshotJob job, QObject* parent)
    : QObject(parent), window_(window), session_(session), job_(std::move(job)), limit_(new QTimer(this)) {
    limit_->setSingleShot(true);
    limit_->setInterval(job_.limit_s * 1000);
    connect(limit_, &QTimer::timeout, this, [this] {
        if (job_.target.isEmpty()) return fail(QStringLiteral("The targets were not listed within %1 s.").arg(job_.limit_s));
        fail(QStringLiteral(
                 "No stop came within %1 s after step %2 of %3. The guest may not run an L2: see what it does "
                 "with vmxscopectl, or give --timeout.")
                 .arg(job_.limit_s)
                 .arg(stepped_)
                 .arg(job_.steps));
    });
    const auto sentence = [](const QString& what, const QString& remedy) {
        return remedy.isEmpty() ? what : what + QLatin1Char(' ') + remedy;
    };
    connect(&session_, &Session::progress, this, [this](const QString& text, double) { say(text); });
    // Everything up to the stop is here; what it is about may still be on its way to the window.
    connect(&session_, &Session::caught_up, this, [this] {
        if (session_.live_seq() == 0 || window_.shown_seq() == session_.live_seq()) next();
    });
    connect(&window_, &MainWindow::shown_changed, this, [this] {
        if (!window_.trace().isEmpty() || window_.shown_seq() == session_.live_seq()) next();
    });
    connect(&window_, &MainWindow::trace_failed, this, &Screenshot::fail);
    connect(&session_, &Session::trouble, this,
            [=, this](const QString& a, const QString& b) { fail(sentence(a, b)); });
    connect(&session_, &Session::lost, this, [=, this](const QString& a, const QString& b) { fail(sentence(a, b)); });
    connect(&session_, &Session::guest_gone, this, [this](const QString& text) {
        fail(QStringLiteral("The guest ended after %1 of %2 steps. %3").arg(stepped_).arg(job_.steps).arg(text));
    });
    connect(&session_, &Session::connected, this, [this] { limit_->start(); });
}

void Screenshot::start() {
    window_.resize(job_.size);
    window_.show();
    if (job_.target.isEmpty()) wait_for_list();
    else window_.open(job_.target);
}

/// Some families answer after others: the picture is taken once nothing more comes.
void Screenshot::wait_for_list() {
    auto* settled = new QTimer(this);
    settled->setSingleShot(true);
    settled->setInterval(kListSettlesMs);
    connect(settled, &QTimer::timeout, this, &Screenshot::save);
    connect(&session_, &Session::targets, settled, qOverload<>(&QTimer::start));
    limit_->start();
}

void Screenshot::say(const QString& said) {
    const QString text = step_without_seconds(said);
    if (text != said_) {
        said_ = text;
        present_.start();
        again_.start();
        emit progress(text);
    } else if (again_.elapsed() >= kSayAgainMs) {
        again_.start();
        emit progress(QStringLiteral("%1 … %2 s").arg(text).arg(present_.elapsed() / 1000));
    }
}

void Screenshot::next() {
    if (over_) return;
    if (stepped_ == job_.steps) {
        limit_->stop();
        // Layouts settle in the event loop: one turn for what is queued, then the picture.
        QTimer::singleShot(0, this, &Screenshot::take);
        return;
    }
    ++stepped_;
    say(QStringLiteral("step %1 of %2").arg(stepped_).arg(job_.steps));
    limit_->start();
    window_.step(job_.kind);
}

void Screenshot::take() {
    if (over_) return;
    if (job_.field) window_.show_field(*job_.field);
    if (!job_.panel.isEmpty()) window_.raise_panel(job_.panel);
    QTimer::singleShot(kSettleMs, this, &Screenshot::save);
}

void Screenshot::save() {
    if (over_) return;
    if (!window_.grab().save(job_.file)) return fail(QStringLiteral("Cannot write %1.").arg(job_.file));
    over_ = true;
    emit done({});
}

void Screenshot::fail(const QString& what) {
    if (over_) return;
    over_ = true;
    limit_->stop();
    emit done(what);
}

}  // namespace vmxscope::ui
