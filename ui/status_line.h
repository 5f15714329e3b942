// The status line's permanent parts: target, vCPU, level, running or held, what is missing.
#pragma once

#include <QWidget>

#include "ui/session.h"
#include "ui/travel_worker.h"

class QComboBox;
class QLabel;

namespace vmxscope::ui {

class StatusLine : public QWidget {
    Q_OBJECT

  public:
    explicit StatusLine(QWidget* parent = nullptr);
    /// `let_go`: the oldest transitions, for want of room.
    void show_session(const Session& session, quint64 let_go);
    void show_trace(const OpenedTrace& trace, quint64 transitions);
    /// The vCPU that is to be stepped; empty = whichever comes first.
    std::optional<std::uint32_t> vcpu() const;
    QString text() const;

  private:
    void fill_vcpus(const QList<core::Vcpu>& vcpus);
    QLabel *state_, *target_, *vcpu_label_, *level_, *missing_;
    QComboBox* vcpu_;
};

QString name_of(Session::State state);

}  // namespace vmxscope::ui
