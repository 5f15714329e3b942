#include "ui/filter_bar.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QLocale>
#include <QTimer>
#include <QVBoxLayout>

#include "core/query/query.h"
#include "ui/cell_delegate.h"
#include "ui/labels.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr int kPauseMs = 350;

struct ReadyMade {
    const char *name, *condition;
};
constexpr ReadyMade kReadyMade[] = {
    {"All", ""},
    {"Nested", "kind in {nested-entry, nested-exit, nested-entry-failed}"},
    {"Undefined", "pdptr == undefined"},
    {"Alarms", "pdptr.alarm"},
    {"Findings", "findings > 0"},
    {"Refused", "kind == nested-entry-failed"},
    {"Exits to L1", "kind == nested-exit"},
};

}  // namespace

FilterBar::FilterBar(QWidget* parent)
    : QWidget(parent),
      line_(new QLineEdit(this)),
      ready_made_(new QComboBox(this)),
      error_(new QLabel(this)),
      counts_(new QLabel(this)),
      pause_(new QTimer(this)) {
    line_->setPlaceholderText(QStringLiteral("Filter: exit_reason == CPUID"));
    line_->setToolTip(
        QStringLiteral("A condition: level == 2 && exit_reason in {CPUID, HLT}, changed(vmcs12.GUEST_CR3), "
                       "time_in_l2 > 50us (docs/query-language.md)"));
    line_->setClearButtonEnabled(true);
    line_->setAccessibleName(QStringLiteral("Filter"));
    line_->setMaxLength(static_cast<int>(core::query::kLongestExpression) / 4);  // UTF-8
    for (const ReadyMade& r : kReadyMade) ready_made_->addItem(QString::fromLatin1(r.name));
    ready_made_->setToolTip(QStringLiteral("Conditions that are often asked for"));
    error_->setFont(CellDelegate::figure_font(font()));
    error_->setTextFormat(Qt::PlainText);
    error_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    error_->setWordWrap(true);
    say(error_, {});
    say(counts_, {});
    pause_->setSingleShot(true);
    pause_->setInterval(kPauseMs);
    auto* across = new QHBoxLayout;
    across->setSpacing(6);
    across->addWidget(line_, 1);
    across->addWidget(ready_made_);
    auto* down = new QVBoxLayout(this);
    down->setContentsMargins(0, 0, 0, 0);
    down->setSpacing(3);
    down->addLayout(across);
    down->addWidget(error_);
    down->addWidget(counts_);
    connect(line_, &QLineEdit::textEdited, pause_, qOverload<>(&QTimer::start));
    connect(line_, &QLineEdit::textChanged, this, [this](const QString& now) {
        if (now.isEmpty()) apply();  // the clear button edits nothing
    });
    connect(line_, &QLineEdit::returnPressed, this, &FilterBar::apply);
    connect(pause_, &QTimer::timeout, this, &FilterBar::apply);
    connect(ready_made_, &QComboBox::activated, this,
            [this](int at) { set_text(QString::fromLatin1(kReadyMade[at].condition)); });
    recolour();
}

void FilterBar::set_text(const QString& text) {
    line_->setText(text);
    apply();
}

QString FilterBar::text() const {
    return line_->text();
}

QString FilterBar::error() const {
    return error_->isHidden() ? QString() : error_->text();
}

void FilterBar::apply() {
    pause_->stop();
    const std::string text = line_->text().trimmed().toStdString();
    if (!text.empty()) {
        const auto query = core::query::Query::parse(text);
        if (!query) {
            say(error_, qs(core::query::caret_text(text, query.error()) + query.error().what));
            return;  // what was in force stays
        }
    }
    say(error_, {});
    if (qs(text) == applied_) return;
    applied_ = qs(text);
    if (applied_.isEmpty()) {
        ready_made_->setCurrentIndex(0);
        say(counts_, {});
    }
    emit changed(applied_);
}

void FilterBar::set_counts(quint64 shown, quint64 all, double done) {
    if (applied_.isEmpty()) return say(counts_, {});
    const QLocale c = QLocale::c();
    QString text = QStringLiteral("%1 of %2").arg(c.toString(qulonglong{shown}), c.toString(qulonglong{all}));
    if (done < 1) text += QStringLiteral(" … %1 %").arg(static_cast<int>(done * 100));
    say(counts_, text);
}

void FilterBar::focus() {
    line_->setFocus(Qt::ShortcutFocusReason);
    line_->selectAll();
}

void FilterBar::recolour() {
    set_text_colour(error_, colors().error().text);
    set_text_colour(counts_, colors().muted());
}

}  // namespace vmxscope::ui
