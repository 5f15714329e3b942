#include "ui/go_to_dialog.h"

#include <QDialogButtonBox>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QVBoxLayout>

#include "core/query/query.h"
#include "ui/cell_delegate.h"
#include "ui/labels.h"
#include "ui/text.h"
#include "ui/travel_worker.h"

namespace vmxscope::ui {

QString go_to_error(const QString& where) {
    if (is_number_or_time(where)) return {};
    const std::string text = where.trimmed().toStdString();
    const auto query = core::query::Query::parse(text);
    return query ? QString() : qs(core::query::caret_text(text, query.error()) + query.error().what);
}

GoToDialog::GoToDialog(const QString& before, QWidget* parent)
    : QDialog(parent), line_(new QLineEdit(before, this)), error_(new QLabel(this)) {
    setWindowTitle(QStringLiteral("Go to"));
    line_->setPlaceholderText(QStringLiteral("1234, or 1.5 ms, or exit_reason == EPT_VIOLATION"));
    line_->setMinimumWidth(fontMetrics().averageCharWidth() * 64);
    line_->setMaxLength(static_cast<int>(core::query::kLongestExpression) / 4);
    line_->selectAll();
    error_->setFont(CellDelegate::figure_font(font()));
    error_->setTextFormat(Qt::PlainText);
    say(error_, {});
    set_text_colour(error_, colors().error().text);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Cancel, this);
    auto* go_button = buttons->addButton(QStringLiteral("Go"), QDialogButtonBox::AcceptRole);
    go_button->setDefault(true);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(
        new QLabel(QStringLiteral("A transition's number, a time since the first, or a condition:"), this));
    layout->addWidget(line_);
    layout->addWidget(error_);
    layout->addWidget(buttons);
    connect(buttons, &QDialogButtonBox::accepted, this, &GoToDialog::go);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
}

QString GoToDialog::error() const {
    return error_->isHidden() ? QString() : error_->text();
}

void GoToDialog::go() {
    if (line_->text().trimmed().isEmpty()) return;
    const QString wrong = go_to_error(line_->text());
    say(error_, wrong);
    if (!wrong.isEmpty()) return;
    emit asked(line_->text().trimmed());
    accept();
}

}  // namespace vmxscope::ui
