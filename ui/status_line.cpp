#include "ui/status_line.h"

#include <QComboBox>
#include <QDateTime>
#include <QHBoxLayout>
#include <QLabel>

#include "ui/text.h"

namespace vmxscope::ui {

namespace {

/// The vCPU that the status is about: the one whose newest transition is the live one.
const core::Vcpu* live_vcpu(const Session& session) {
    const core::Vcpu* best = nullptr;
    for (const core::Vcpu& v : session.vcpus())
        if (!best || v.last_seq > best->last_seq) best = &v;
    return best;
}

QString level_text(const core::Vcpu* v) {
    if (!v || !v->level) return QStringLiteral("level –");
    return *v->level == 2 ? QStringLiteral("in L2") : QStringLiteral("in L1");
}

QString missing_text(const Session& session, quint64 let_go) {
    const quint64 lost = session.history().lost;
    QStringList parts{(lost ? QStringLiteral("⚠ %1 lost") : QStringLiteral("%1 lost")).arg(lost)};
    if (session.unfetched() > 0) parts << QStringLiteral("%1 not fetched").arg(session.unfetched());
    if (let_go > 0) parts << QStringLiteral("%1 oldest dropped").arg(let_go);
    return parts.join(QStringLiteral(", "));
}

}  // namespace

QString name_of(Session::State state) {
    switch (state) {
        case Session::State::Idle: return QStringLiteral("○ not attached");
        case Session::State::Attaching: return QStringLiteral("… attaching");
        case Session::State::Held: return QStringLiteral("■ held");
        case Session::State::Running: return QStringLiteral("▶ running");
        case Session::State::Stopping: return QStringLiteral("▶ running, asked to stop");
        case Session::State::Lost: return QStringLiteral("⚠ connection lost");
        case Session::State::Ended: return QStringLiteral("✗ guest ended");
    }
    return {};
}

StatusLine::StatusLine(QWidget* parent)
    : QWidget(parent),
      state_(new QLabel(this)),
      target_(new QLabel(this)),
      vcpu_label_(new QLabel(this)),
      level_(new QLabel(this)),
      missing_(new QLabel(this)),
      vcpu_(new QComboBox(this)) {
    QFont bold = state_->font();
    bold.setBold(true);
    state_->setFont(bold);
    vcpu_->setToolTip(
        QStringLiteral("Which vCPU the step commands move; the others run on meanwhile, or stay held (Run menu)"));
    missing_->setToolTip(
        QStringLiteral("Records lost for want of room since attach, and what else is not in the list"));
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(8, 2, 8, 2);
    layout->setSpacing(18);
    layout->addWidget(state_);
    layout->addWidget(target_);
    layout->addWidget(vcpu_label_);
    layout->addWidget(vcpu_);
    layout->addWidget(level_);
    layout->addStretch(1);
    layout->addWidget(missing_);
}

void StatusLine::fill_vcpus(const QList<core::Vcpu>& vcpus) {
    const bool several = vcpus.size() > 1;
    vcpu_->setVisible(several);
    vcpu_label_->setVisible(vcpus.size() == 1);
    if (vcpus.size() == 1) vcpu_label_->setText(QStringLiteral("vCPU %1").arg(vcpus[0].id));
    const QVariant before = vcpu_->currentData();
    if (vcpu_->count() != vcpus.size() + 1) {
        vcpu_->clear();
        vcpu_->addItem(QStringLiteral("step: first vCPU to cross"));
        for (const core::Vcpu& v : vcpus) vcpu_->addItem({}, v.id);
        if (const int at = vcpu_->findData(before); before.isValid() && at >= 0) vcpu_->setCurrentIndex(at);
    }
    for (qsizetype i = 0; i < vcpus.size(); ++i)
        vcpu_->setItemText(static_cast<int>(i) + 1,
                           QStringLiteral("step: vCPU %1 (%2)").arg(vcpus[i].id).arg(state_text(vcpus[i].state)));
}

std::optional<std::uint32_t> StatusLine::vcpu() const {
    if (vcpu_->count() <= 2 || !vcpu_->currentData().isValid()) return std::nullopt;
    return vcpu_->currentData().toUInt();
}

void StatusLine::show_session(const Session& session, quint64 let_go) {
    QString state = name_of(session.state());
    if (session.state() == Session::State::Held)
        state += session.live_seq() ? QStringLiteral(" at #%1").arg(session.live_seq())
                                    : session.instructions() ? QString()
                                                             : QStringLiteral(" before the first transition");
    state_->setText(state);
    const core::TargetInfo& info = session.info();
    const bool shown =
        session.attached() || session.state() == Session::State::Lost || session.state() == Session::State::Ended;
    QString target = shown ? qs(info.name) : session.uri();
    if (shown && !info.kernel.empty()) target += QStringLiteral("  ·  L0 Linux %1").arg(qs(info.kernel));
    target_->setText(target);
    target_->setToolTip(QStringLiteral("%1\nprocess %2, agent %3").arg(qs(info.cpu)).arg(info.pid).arg(qs(info.agent)));
    fill_vcpus(session.attached() ? session.vcpus() : QList<core::Vcpu>());
    level_->setText(level_text(live_vcpu(session)));
    level_->setVisible(session.state() == Session::State::Held);
    missing_->setText(missing_text(session, let_go));
    missing_->setVisible(shown);
}

void StatusLine::show_trace(const OpenedTrace& trace, quint64 transitions) {
    const core::TargetInfo& info = trace.info.target;
    state_->setText(QStringLiteral("▤ trace"));
    QString target = QStringLiteral("%1 of %2")
                         .arg(counted(transitions, QStringLiteral("transition")),
                              info.name.empty() ? QStringLiteral("an unnamed target") : qs(info.name));
    if (!info.kernel.empty()) target += QStringLiteral("  ·  L0 Linux %1").arg(qs(info.kernel));
    if (trace.info.started_ns > 0)
        target += QStringLiteral("  ·  ") + QDateTime::fromMSecsSinceEpoch(trace.info.started_ns / 1'000'000)
                                                .toString(QStringLiteral("yyyy-MM-dd HH:mm"));
    target_->setText(target);
    target_->setToolTip(QStringLiteral("%1\n%2").arg(trace.file, qs(info.cpu)));
    fill_vcpus({});
    level_->hide();
    missing_->setVisible(!trace.damage.isEmpty());
    missing_->setText(QStringLiteral("⚠ damaged"));
    missing_->setToolTip(trace.damage.join(QLatin1Char('\n')));
}

QString StatusLine::text() const {
    QStringList parts;
    for (const QLabel* label : {state_, target_, vcpu_label_, level_, missing_})
        if (!label->isHidden() && !label->text().isEmpty()) parts << label->text();
    return parts.join(QStringLiteral(" | "));
}

}  // namespace vmxscope::ui
