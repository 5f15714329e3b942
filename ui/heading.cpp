#include "ui/heading.h"

#include <QComboBox>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QLocale>
#include <QPushButton>
#include <QVBoxLayout>

#include "ui/badge_strip.h"
#include "ui/labels.h"
#include "ui/palette.h"
#include "ui/text.h"
#include "vmx/exit_reason.h"

namespace vmxscope::ui {

namespace {

/// "exit reason CPUID (10)  ·  qualification 0x0  ·  …": what the exit is about. Fields that hold something only for
/// some exits, or only when a bit says so, are left out where they would be leftovers (SDM 28.2).
QString exit_facts(const nested::Transition& t) {
    QStringList facts;
    const auto add = [&](const char* name, const vmx::Value& v, bool meaningful) {
        if (v.known() && meaningful) facts << QString::fromLatin1(name) + QLatin1Char(' ') + hex(v.bits);
    };
    constexpr std::uint16_t kEptMisconfiguration = 49;
    constexpr std::uint64_t kValid = 1ULL << 31, kHasErrorCode = 1ULL << 11, kLinearValid = 1ULL << 7;
    const auto basic = vmx::basic_exit_reason(static_cast<std::uint32_t>(t.exit.reason.bits));
    const bool violation = basic == vmx::kExitEptViolation;
    const bool event = t.exit.intr_info.bits & kValid;
    if (t.exit.reason.known()) facts << QStringLiteral("exit reason ") + exit_reason_text(t.exit);
    add("qualification", t.exit.qualification, true);
    add("interruption", t.exit.intr_info, event);
    add("error code", t.exit.intr_error_code, event && (t.exit.intr_info.bits & kHasErrorCode));
    add("instruction length", t.exit.instruction_length, t.exit.instruction_length.bits != 0);
    add("linear", t.exit.guest_linear, violation && (t.exit.qualification.bits & kLinearValid));
    add("physical", t.exit.guest_physical, violation || basic == kEptMisconfiguration);
    add("RIP", t.regs[nested::RIP], true);
    if (t.status && *t.status != 0) facts << QStringLiteral("KVM returned %1").arg(*t.status);
    return facts.join(QStringLiteral("  ·  "));
}

QString routing_text(const nested::Routing& r) {
    QString text = QStringLiteral("⇒ %1").arg(qs(nested::name_of(r.who)));
    return r.by.empty() ? text + QLatin1Char('.') : text + QStringLiteral(": ") + qs(r.by);
}

constexpr qsizetype kOthersShown = 6;

}  // namespace

Heading::Heading(QWidget* parent)
    : QWidget(parent),
      title_(new QLabel(this)),
      facts_(wrapped_label(this)),
      routing_(wrapped_label(this)),
      notes_(wrapped_label(this)),
      away_(new QLabel(this)),
      live_(new QPushButton(QStringLiteral("To the present"), this)),
      close_dump_(new QPushButton(QStringLiteral("Close the dump"), this)),
      dump_choice_(new QComboBox(this)),
      badges_(new BadgeStrip(this)) {
    QFont font = title_->font();
    font.setPointSizeF(font.pointSizeF() * 1.25);
    font.setBold(true);
    title_->setFont(font);
    title_->setTextFormat(Qt::PlainText);
    live_->setToolTip(QStringLiteral("Shows the newest transition (Alt+End)"));
    away_->setMinimumWidth(1);  // a sentence that comes and goes makes no window wider
    dump_choice_->setToolTip(QStringLiteral("Which of the VMCSs in the dump"));
    dump_choice_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    dump_choice_->setMinimumContentsLength(16);
    auto* top = new QHBoxLayout;
    top->addWidget(title_);
    top->addWidget(dump_choice_);
    top->addStretch(1);
    top->addWidget(close_dump_);
    top->addWidget(away_);
    top->addWidget(live_);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(3);
    layout->addLayout(top);
    for (QWidget* line : {static_cast<QWidget*>(facts_), static_cast<QWidget*>(routing_),
                          static_cast<QWidget*>(badges_), static_cast<QWidget*>(notes_)})
        layout->addWidget(line);
    connect(live_, &QPushButton::clicked, this, &Heading::go_live);
    connect(close_dump_, &QPushButton::clicked, this, &Heading::dump_closed);
    connect(dump_choice_, &QComboBox::activated, this, &Heading::dump_picked);
    show_shown(nullptr);
    set_live(0, 0);
}

void Heading::show_shown(const ShownPtr& shown) {
    for (QLabel* label : {title_, facts_, routing_, notes_}) say(label, {});
    const bool dump = shown && shown->dump;
    close_dump_->setVisible(dump);
    dump_choice_->setVisible(dump && dump_choice_->count() > 1);
    badges_->show_badges(dump ? nullptr : shown);
    if (dump)
        show_dump(*shown->dump);
    else if (shown)
        show_transition(*shown);
}

void Heading::show_transition(const Shown& shown) {
    const nested::Transition& t = *shown.transition;
    say(title_, QStringLiteral("%1   %2   vCPU %3").arg(headline(t), levels_text(t.kind)).arg(t.vcpu));
    say(facts_, exit_facts(t));
    QStringList notes;
    if (!t.kvm_reason.empty()) notes << QStringLiteral("✗ KVM refused the entry: ") + qs(t.kvm_reason);
    for (const std::string& note : t.notes) notes << QStringLiteral("ℹ ") + qs(note);
    say(notes_, notes.join(QLatin1Char('\n')));
    if (shown.routing) say(routing_, routing_text(*shown.routing));
}

void Heading::show_dump(const DumpSource& dump) {
    say(title_, QStringLiteral("%1   in %2").arg(qs(core::name_of(dump.role)), QFileInfo(dump.file).fileName()));
    say(facts_, dump.label);
    QStringList others;
    for (const core::ImportedVmcs::Other& other : dump.others)
        if (others.size() < kOthersShown) others << qs(other.name) + QLatin1Char(' ') + qs(other.value);
    QStringList notes;
    if (!others.isEmpty()) {
        const auto more = static_cast<qsizetype>(dump.others.size()) - others.size();
        notes << QStringLiteral("ℹ The dump also says: ") + others.join(QStringLiteral(", ")) +
                     (more > 0 ? QStringLiteral(", and %1 more.").arg(more) : QStringLiteral("."));
    }
    for (const QString& warning : dump.warnings) notes << QStringLiteral("⚠ ") + warning;
    say(notes_, notes.join(QLatin1Char('\n')));
}

void Heading::set_dump_choice(const QStringList& names, int at) {
    dump_choice_->clear();
    dump_choice_->addItems(names);
    dump_choice_->setCurrentIndex(at);
}

void Heading::set_live(quint64 shown_seq, quint64 live_seq) {
    const bool away = shown_seq != 0 && live_seq > shown_seq;
    away_->setVisible(away);
    live_->setVisible(away);
    if (!away) return;
    const QString before = QLocale::c().toString(qulonglong{live_seq - shown_seq});
    away_->setText(QStringLiteral("◀ You look at #%1, %2 before the present").arg(shown_seq).arg(before));
}

QString Heading::title() const {
    return title_->text();
}
QString Heading::routing() const {
    return routing_->text();
}

void Heading::recolour() {
    for (QLabel* label : {notes_, away_}) set_text_colour(label, colors().notice().text);
    update();
}

}  // namespace vmxscope::ui
