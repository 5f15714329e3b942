#include "ui/record_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QFileDialog>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
#include "ui/labels.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr int kRingMib = 64, kMostRingMib = 4096;

}  // namespace

RecordDialog::RecordDialog(const QString& file, QWidget* parent)
    : QDialog(parent),
      file_(new QLineEdit(file, this)),
      until_(new QLineEdit(this)),
      fields_(new QComboBox(this)),
      evidence_(new QComboBox(this)),
      ring_(new QCheckBox(QStringLiteral("Only the newest"), this)),
      lossless_(new QCheckBox(QStringLiteral("vCPUs wait when the recording cannot keep up"), this)),
      ring_mib_(new QSpinBox(this)),
      error_(new QLabel(this)) {
    setWindowTitle(QStringLiteral("Record"));
    auto* browse = new QPushButton(QStringLiteral("Choose…"), this);
    fields_->addItems({QStringLiteral("All"), QStringLiteral("Only those of the PDPTR verdict")});
    evidence_->addItems({QStringLiteral("None"), QStringLiteral("PDPTRs"), QStringLiteral("All fields")});
    evidence_->setToolTip(
        QStringLiteral("Which of KVM's VMREADs and VMWRITEs are recorded, too. They slow the guest down."));
    until_->setPlaceholderText(QStringLiteral("a condition: pdptr.alarm"));
    ring_mib_->setRange(1, kMostRingMib);
    ring_mib_->setValue(kRingMib);
    ring_mib_->setSuffix(QStringLiteral(" MiB"));
    ring_mib_->setEnabled(false);
    error_->setFont(CellDelegate::figure_font(font()));
    error_->setTextFormat(Qt::PlainText);
    set_text_colour(error_, colors().error().text);
    say(error_, {});
    auto* file_line = new QHBoxLayout;
    file_line->addWidget(file_, 1);
    file_line->addWidget(browse);
    auto* ring_line = new QHBoxLayout;
    ring_line->addWidget(ring_);
    ring_line->addWidget(ring_mib_);
    ring_line->addStretch(1);
    auto* form = new QFormLayout;
    form->addRow(QStringLiteral("File"), file_line);
    form->addRow(QStringLiteral("Fields"), fields_);
    form->addRow(QStringLiteral("Evidence"), evidence_);
    form->addRow(QStringLiteral("Keep"), ring_line);
    form->addRow(QStringLiteral("Until"), until_);
    form->addRow(QString(), lossless_);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Cancel, this);
    buttons->addButton(QStringLiteral("Record"), QDialogButtonBox::AcceptRole)->setDefault(true);
    auto* layout = new QVBoxLayout(this);
    layout->addLayout(form);
    layout->addWidget(error_);
    layout->addWidget(buttons);
    file_->setMinimumWidth(fontMetrics().averageCharWidth() * 52);
    connect(browse, &QPushButton::clicked, this, &RecordDialog::choose_file);
    connect(ring_, &QCheckBox::toggled, ring_mib_, &QWidget::setEnabled);
    connect(buttons, &QDialogButtonBox::accepted, this, &RecordDialog::go);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
}

void RecordDialog::choose_file() {
    const QString file = QFileDialog::getSaveFileName(this, QStringLiteral("Record into"), file_->text(),
                                                      QStringLiteral("Traces (*.vxt)"));
    if (file.isEmpty()) return;
    chosen_ = file;
    file_->setText(file);
}

std::optional<RecordRequest> RecordDialog::request() {
    RecordRequest request;
    say(error_, {});
    if (file_->text().trimmed().isEmpty()) {
        say(error_, QStringLiteral("Name a file."));
        return std::nullopt;
    }
    if (const std::string until = until_->text().trimmed().toStdString(); !until.empty()) {
        const auto query = core::query::Query::parse(until);
        if (!query) {
            say(error_, qs(core::query::caret_text(until, query.error()) + query.error().what));
            return std::nullopt;
        }
        request.options.until = *query;
    }
    request.options.path = file_->text().trimmed().toStdString();
    request.options.replace = file_->text().trimmed() == chosen_;  // only where the file dialog has asked
    if (ring_->isChecked()) request.options.ring_bytes = static_cast<std::size_t>(ring_mib_->value()) << 20;
    request.settings.all_fields = fields_->currentIndex() == 0;
    request.settings.evidence = static_cast<nested::EvidenceScope>(evidence_->currentIndex());
    request.settings.lossless = lossless_->isChecked();
    return request;
}

QString RecordDialog::error() const {
    return error_->isHidden() ? QString() : error_->text();
}

void RecordDialog::go() {
    const auto wanted = request();
    if (!wanted) return;
    emit asked(*wanted);
    accept();
}

}  // namespace vmxscope::ui
