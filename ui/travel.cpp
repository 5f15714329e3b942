#include "ui/travel.h"

namespace vmxscope::ui {

Travel::Travel(QObject* parent) : QObject(parent), worker_(new TravelWorker) {
    worker_->moveToThread(&thread_);
    connect(&thread_, &QThread::finished, worker_, &QObject::deleteLater);
    thread_.setObjectName(QStringLiteral("travel"));
    thread_.start();
}

Travel::~Travel() {
    worker_->stop();
    worker_->hurry();
    // Answers that are still under way would reach a half-destroyed window.
    worker_->disconnect();
    QMetaObject::invokeMethod(worker_, &TravelWorker::close, Qt::BlockingQueuedConnection);
    thread_.quit();
    thread_.wait();
}

}  // namespace vmxscope::ui
