#include "ui/vmcs_view.h"

#include <QCheckBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QTreeView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
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

constexpr const char* kNothingRead =
    "Nothing of vmcs12 or vmcs02 was read at this transition: there may be none yet.\n\n"
    "Both are read at nested entries and exits. Run to the next one with F9.";

QLabel* wrapped_label(QWidget* parent) {
    auto* label = new QLabel(parent);
    label->setWordWrap(true);
    label->setTextFormat(Qt::PlainText);
    label->setTextInteractionFlags(Qt::TextSelectableByMouse);
    return label;
}

}  // namespace

VmcsView::VmcsView(QWidget* parent) : QWidget(parent) {
    filter_.setSourceModel(&model_);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 4);
    layout->setSpacing(6);
    layout->addWidget(make_heading());
    filter_line_ = make_filter_line();
    layout->addWidget(filter_line_);
    make_tree();
    layout->addWidget(tree_, 1);
    nothing_ = new QLabel(this);
    nothing_->setAlignment(Qt::AlignCenter);
    nothing_->setWordWrap(true);
    layout->addWidget(nothing_, 1);
    legend_line_ = make_legend();
    layout->addWidget(legend_line_);
    recolour();
}

QWidget* VmcsView::make_heading() {
    auto* box = new QWidget(this);
    heading_ = new QLabel(box);
    QFont font = heading_->font();
    font.setPointSizeF(font.pointSizeF() * 1.25);
    font.setBold(true);
    heading_->setFont(font);
    facts_ = wrapped_label(box);
    notes_ = wrapped_label(box);
    away_ = new QLabel(box);
    live_ = new QPushButton(QStringLiteral("Go to live"), box);
    live_->setToolTip(QStringLiteral("Shows the newest stop (Alt+End)"));
    connect(live_, &QPushButton::clicked, this, &VmcsView::go_live);
    auto* top = new QHBoxLayout;
    top->addWidget(heading_);
    top->addStretch(1);
    top->addWidget(away_);
    top->addWidget(live_);
    auto* layout = new QVBoxLayout(box);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(2);
    layout->addLayout(top);
    layout->addWidget(facts_);
    layout->addWidget(notes_);
    return box;
}

QWidget* VmcsView::make_filter_line() {
    auto* box = new QWidget(this);
    search_ = new QLineEdit(box);
    search_->setPlaceholderText(QStringLiteral("Find a field or a value"));
    search_->setClearButtonEnabled(true);
    only_differences_ = new QCheckBox(QStringLiteral("Only differences"), box);
    only_changed_ = new QCheckBox(QStringLiteral("Only changed"), box);
    auto* layout = new QHBoxLayout(box);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(search_, 1);
    layout->addWidget(only_differences_);
    layout->addWidget(only_changed_);
    connect(search_, &QLineEdit::textChanged, this, &VmcsView::refilter);
    connect(only_differences_, &QCheckBox::toggled, this, &VmcsView::refilter);
    connect(only_changed_, &QCheckBox::toggled, this, &VmcsView::refilter);
    connect(only_differences_, &QCheckBox::toggled, this, &VmcsView::only_differences_toggled);
    connect(only_changed_, &QCheckBox::toggled, this, &VmcsView::only_changed_toggled);
    return box;
}

void VmcsView::make_tree() {
    tree_ = new QTreeView(this);
    tree_->setModel(&filter_);
    tree_->setItemDelegate(new CellDelegate(tree_));
    tree_->setUniformRowHeights(true);
    tree_->setIndentation(14);
    tree_->setAlternatingRowColors(false);
    tree_->setSelectionBehavior(QAbstractItemView::SelectRows);
    tree_->setAllColumnsShowFocus(true);
    tree_->setAccessibleName(QStringLiteral("VMCS fields"));
    const QFontMetrics figures(CellDelegate::figure_font(tree_->font()));
    const int value_width = figures.horizontalAdvance(QStringLiteral("0x0123456789abcdef")) + 40;
    auto* header = tree_->header();
    header->setStretchLastSection(true);
    header->resizeSection(VmcsModel::Name,
                          tree_->fontMetrics().horizontalAdvance(QStringLiteral("SECONDARY_VM_EXEC_CONTROL")) + 40);
    header->resizeSection(VmcsModel::Vmcs12, value_width);
    header->resizeSection(VmcsModel::Vmcs02, value_width);
    connect(tree_, &QTreeView::collapsed, this,
            [this](const QModelIndex& i) { collapsed_.insert(i.data().toString()); });
    connect(tree_, &QTreeView::expanded, this,
            [this](const QModelIndex& i) { collapsed_.remove(i.data().toString()); });
    connect(&filter_, &QAbstractItemModel::rowsInserted, this, &VmcsView::restore_expansion);
    restore_expansion();
}

QWidget* VmcsView::make_legend() {
    auto* box = new QWidget(this);
    legend_ =
        new QLabel(QStringLiteral("≠ differ    Δ changed by this transition    ▨ undefined: not to be relied on"), box);
    counts_ = new QLabel(box);
    auto* layout = new QHBoxLayout(box);
    layout->setContentsMargins(0, 0, 0, 0);
    legend_->setSizePolicy(QSizePolicy::Ignored,
                           QSizePolicy::Preferred);  // in a narrow window the counts have their room first
    layout->addWidget(legend_, 1);
    layout->addWidget(counts_);
    return box;
}

void VmcsView::restore_expansion() {
    for (int row = 0; row < filter_.rowCount(); ++row) {
        const QModelIndex group = filter_.index(row, 0);
        tree_->setExpanded(group, !collapsed_.contains(group.data().toString()));
    }
}

void VmcsView::refilter() {
    filter_.set_text(search_->text());
    filter_.set_only_differences(only_differences_->isChecked());
    filter_.set_only_changed(only_changed_->isChecked());
    restore_expansion();
    update_counts();
}

void VmcsView::update_counts() {
    const int all = static_cast<int>(vmx::kFieldCount), shown = filter_.matches();
    const QString some = shown == all ? QString() : QStringLiteral("%1 of %2 fields · ").arg(shown).arg(all);
    const int absent = all - model_.present();
    counts_->setToolTip(filter_.shows_absent() || absent == 0
                            ? QString()
                            : QStringLiteral("%1 fields that neither VMCS has are hidden (View menu).").arg(absent));
    counts_->setText(some + QStringLiteral("%1 differ, %2 changed").arg(model_.differing()).arg(model_.changed()));
}

void VmcsView::show_row(const TransitionListModel& list, int row, const QString& empty) {
    const bool any = row >= 0;
    const TransitionPtr t = any ? list.at(row) : nullptr;
    const int previous = any ? list.previous_row(row) : -1;
    model_.show(t, previous < 0 ? nullptr : list.at(previous), any ? list.verdict_at(row) : std::nullopt);
    const bool read = any && (t->vmcs12_after.any_known() || t->vmcs02_after.any_known());
    for (QWidget* widget : {static_cast<QWidget*>(tree_), filter_line_, legend_line_}) widget->setVisible(read);
    nothing_->setVisible(!read);
    nothing_->setText(any ? QString::fromUtf8(kNothingRead) : empty);
    heading_->setVisible(any);
    facts_->setVisible(any);
    if (any) {
        heading_->setText(QStringLiteral("%1   %2   vCPU %3").arg(headline(*t), levels_text(t->kind)).arg(t->vcpu));
        facts_->setText(exit_facts(*t));
        QStringList notes;
        for (const std::string& note : t->notes) notes << QStringLiteral("ℹ ") + qs(note);
        notes_->setText(notes.join(QLatin1Char('\n')));
    }
    facts_->setVisible(any && !facts_->text().isEmpty());
    notes_->setVisible(any && !notes_->text().isEmpty());
    update_counts();
}

void VmcsView::set_live(quint64 shown_seq, quint64 live_seq) {
    const bool away = shown_seq != 0 && live_seq != 0 && shown_seq != live_seq;
    away_->setVisible(away);
    live_->setVisible(away);
    if (away) away_->setText(QStringLiteral("ℹ looking at #%1, live is at #%2").arg(shown_seq).arg(live_seq));
}

QString VmcsView::heading() const {
    return heading_->isHidden() ? nothing_->text() : heading_->text();
}

void VmcsView::focus_search() {
    search_->setFocus();
    search_->selectAll();
}

void VmcsView::set_only_differences(bool on) {
    only_differences_->setChecked(on);
}
void VmcsView::set_show_absent(bool on) {
    filter_.set_show_absent(on);
    restore_expansion();
    update_counts();
}
void VmcsView::set_only_changed(bool on) {
    only_changed_->setChecked(on);
}

void VmcsView::recolour() {
    const auto set = [](QLabel* label, const QColor& colour) {
        QPalette p = label->palette();
        p.setColor(QPalette::WindowText, colour);
        label->setPalette(p);
    };
    for (QLabel* label : {counts_, legend_, nothing_}) set(label, colors().muted());
    for (QLabel* label : {notes_, away_}) set(label, colors().notice().text);
}

}  // namespace vmxscope::ui
