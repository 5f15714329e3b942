#include "ui/start_page.h"

#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QListWidget>
#include <QProgressBar>
#include <QPushButton>
#include <QTimer>
#include <QVBoxLayout>

#include "ui/labels.h"
#include "ui/target_picker.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr int kColumn = 620;  // pixels: lines longer than this are hard to read
constexpr int kStepsShown = 8;

QLabel* title_label(const QString& text, QWidget* parent) {
    auto* label = new QLabel(text, parent);
    QFont font = label->font();
    font.setPointSizeF(font.pointSizeF() * 1.7);
    font.setBold(true);
    label->setFont(font);
    return label;
}

/// A column in the middle of `page`, to be filled.
QVBoxLayout* middle_column(QWidget* page, int top, int bottom) {
    auto* column = new QWidget(page);
    column->setMaximumWidth(kColumn);
    auto* across = new QHBoxLayout;
    across->addStretch(1);
    across->addWidget(column, 8);
    across->addStretch(1);
    auto* down = new QVBoxLayout(page);
    down->addStretch(top);
    down->addLayout(across, 6);
    down->addStretch(bottom);
    auto* inside = new QVBoxLayout(column);
    inside->setSpacing(12);
    return inside;
}

}  // namespace

WelcomePage::WelcomePage(QWidget* parent)
    : QWidget(parent),
      picker_(new TargetPicker(this)),
      samples_caption_(
          caption_label(this, QStringLiteral("Or go through a recording: this needs neither VT-x nor a lab"))),
      samples_(new QListWidget(this)) {
    auto* column = middle_column(this, 1, 2);
    column->addWidget(title_label(QStringLiteral("Attach to a nested guest"), this));
    auto* what = new QLabel(
        QStringLiteral("vmxscope stops a nested guest at its VM-entries and VM-exits and shows what KVM did between "
                       "vmcs12, which the guest hypervisor wrote, and vmcs02, which the processor runs."),
        this);
    what->setWordWrap(true);
    column->addWidget(what);
    column->addWidget(picker_, 3);
    column->addWidget(samples_caption_);
    column->addWidget(samples_, 1);
    auto* open = new QPushButton(QStringLiteral("Open a trace…"), this);
    open->setToolTip(QStringLiteral("A recording of vmxscope's (.vxt)"));
    column->addWidget(open, 0, Qt::AlignLeft);
    samples_->setAccessibleName(QStringLiteral("Recordings"));
    connect(open, &QPushButton::clicked, this, &WelcomePage::open_trace_asked);
    const auto ask = [this](QListWidgetItem* item) { emit trace_asked(item->data(Qt::UserRole).toString()); };
    connect(samples_, &QListWidget::itemActivated, this, ask);
    connect(samples_, &QListWidget::itemDoubleClicked, this, ask);
    set_samples({});
}

void WelcomePage::set_samples(const QStringList& files) {
    samples_->clear();
    for (const QString& file : files) {
        auto* item = new QListWidgetItem(QFileInfo(file).completeBaseName(), samples_);
        item->setData(Qt::UserRole, file);
        item->setToolTip(file);
    }
    samples_caption_->setVisible(!files.isEmpty());
    samples_->setVisible(!files.isEmpty());
}

AttachPage::AttachPage(QWidget* parent)
    : QWidget(parent),
      title_(title_label({}, this)),
      steps_(new QLabel(this)),
      elapsed_(new QLabel(this)),
      bar_(new QProgressBar(this)),
      tick_(new QTimer(this)) {
    auto* cancel = new QPushButton(QStringLiteral("Cancel"), this);
    cancel->setShortcut(Qt::Key_Escape);
    steps_->setTextFormat(Qt::PlainText);
    steps_->setAlignment(Qt::AlignTop | Qt::AlignLeft);
    steps_->setWordWrap(true);
    steps_->setMinimumHeight(steps_->fontMetrics().lineSpacing() * kStepsShown);
    auto* line = new QHBoxLayout;
    line->addWidget(elapsed_, 1);
    line->addWidget(cancel);
    auto* column = middle_column(this, 2, 2);
    column->addWidget(title_);
    column->addWidget(bar_);
    column->addLayout(line);
    column->addWidget(steps_, 1);
    tick_->setInterval(1000);
    connect(tick_, &QTimer::timeout, this, &AttachPage::refresh);
    connect(cancel, &QPushButton::clicked, this, [this] {
        elapsed_->setText(QStringLiteral("Cancelling …"));
        emit cancelled();
    });
}

void AttachPage::begin(const QString& uri) {
    title_->setText(QStringLiteral("Attaching to %1").arg(uri));
    done_.clear();
    present_.clear();
    bar_->setRange(0, 0);
    since_.start();
    tick_->start();
    refresh();
}

void AttachPage::progress(const QString& text, double fraction) {
    const QString step = step_without_seconds(text);
    if (step != present_) {
        if (!present_.isEmpty()) done_ << present_;
        present_ = step;
        step_since_.start();
    }
    bar_->setRange(0, fraction < 0 ? 0 : 1000);
    if (fraction >= 0) bar_->setValue(static_cast<int>(fraction * 1000));
    refresh();
}

void AttachPage::end() {
    tick_->stop();
}

void AttachPage::refresh() {
    elapsed_->setText(QStringLiteral("%1 s").arg(since_.elapsed() / 1000));
    QStringList lines;
    for (const QString& step : done_.mid(std::max<qsizetype>(0, done_.size() - (kStepsShown - 1))))
        lines << QStringLiteral("✓ ") + step;
    if (!present_.isEmpty()) {
        const qint64 seconds = step_since_.elapsed() / 1000;
        lines << QStringLiteral("… ") + present_ + (seconds < 3 ? QString() : QStringLiteral(" (%1 s)").arg(seconds));
    }
    steps_->setText(lines.join(QLatin1Char('\n')));
}

}  // namespace vmxscope::ui
