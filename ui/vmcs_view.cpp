#include "ui/vmcs_view.h"

#include <QCheckBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QTreeView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
#include "ui/heading.h"
#include "ui/labels.h"
#include "ui/roles.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr const char* kNothingRead =
    "Nothing of vmcs12 or vmcs02 was read at this transition: there may be none yet.\n\n"
    "Both are read at nested entries and exits. Run to the next one with F9.";

}  // namespace

VmcsView::VmcsView(QWidget* parent) : QWidget(parent) {
    filter_.setSourceModel(&model_);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 4);
    layout->setSpacing(6);
    head_ = new Heading(this);
    layout->addWidget(head_);
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

QWidget* VmcsView::make_filter_line() {
    auto* box = new QWidget(this);
    search_ = new QLineEdit(box);
    search_->setPlaceholderText(QStringLiteral("Find a field or a value"));
    search_->setClearButtonEnabled(true);
    auto* layout = new QHBoxLayout(box);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(10);
    layout->addWidget(search_, 1);
    const auto chip = [&](const char* tip) {
        auto* check = new QCheckBox(box);
        check->setToolTip(QString::fromUtf8(tip));
        layout->addWidget(check);
        connect(check, &QCheckBox::toggled, this, &VmcsView::refilter);
        return check;
    };
    only_differences_ = chip("Only fields whose vmcs12 and vmcs02 differ");
    only_changed_ = chip("Only fields that this transition changed");
    only_findings_ = chip("Only fields where rule, evidence and values contradict each other");
    hide_meaningless_ = chip("Without the fields that nothing uses here: they are grey, and their meaning says why");
    connect(search_, &QLineEdit::textChanged, this, &VmcsView::refilter);
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
    tree_->setExpandsOnDoubleClick(false);
    tree_->setAccessibleName(QStringLiteral("VMCS fields"));
    tree_->header()->setStretchLastSection(true);
    connect_tree();
    restore_expansion();
}

void VmcsView::connect_tree() {
    connect(tree_, &QTreeView::collapsed, this,
            [this](const QModelIndex& i) { collapsed_.insert(i.data().toString()); });
    connect(tree_, &QTreeView::expanded, this,
            [this](const QModelIndex& i) { collapsed_.remove(i.data().toString()); });
    connect(&filter_, &QAbstractItemModel::rowsInserted, this, &VmcsView::restore_expansion);
    connect(tree_->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this] {
        if (const auto f = field()) emit field_selected(*f, false);
    });
    connect(tree_, &QTreeView::clicked, this, [this] {
        if (const auto f = field()) emit field_selected(*f, true);
    });
    connect(tree_, &QTreeView::doubleClicked, this, [this] {
        if (const auto f = field()) emit field_activated(*f);
    });
}

/// In a narrow window names and long values are cut, and the meaning is a scroll away: the values and what is wrong
/// with them come first.
void VmcsView::fit_columns() {
    using M = VmcsModel;
    const QFontMetrics words(tree_->font()), figures(CellDelegate::figure_font(tree_->font()));
    const auto wide = [&](const QFontMetrics& metrics, const char* text, int more) {
        return metrics.horizontalAdvance(QString::fromUtf8(text)) + more;
    };
    const int widths[] = {wide(words, "SECONDARY_VM_EXEC_CONTROL", 40), wide(figures, "0x0123456789abcdef", 40),
                          wide(words, "Rule", 18), wide(words, "CPU saved · L0's own", 24),
                          wide(words, "page directory at 0x1", 0)};
    const bool single = shown_ && shown_->dump;
    const bool roomy = single || width() >= widths[0] + 2 * widths[1] + widths[2] + widths[3] + widths[4];
    auto* header = tree_->header();
    header->resizeSection(M::Name, roomy ? widths[0] : wide(words, "CPU_BASED_VM_EXEC_C", 34));
    for (const int column : {M::Vmcs12, M::Vmcs02})
        header->resizeSection(column, roomy ? widths[1] : wide(figures, "0x0123456789", 38));
    header->resizeSection(M::Rule, widths[2]);
    header->resizeSection(M::CameFrom, roomy ? widths[3] : wide(words, "CPU saved · L0's", 14));
    tree_->setColumnHidden(M::Vmcs12, shown_ && shown_->only02());
    tree_->setColumnHidden(M::Vmcs02, shown_ && shown_->only12());
    tree_->setColumnHidden(M::Rule, single || !shown_ || !shown_->moves());
    tree_->setColumnHidden(M::CameFrom, single);
}

void VmcsView::resizeEvent(QResizeEvent* event) {
    QWidget::resizeEvent(event);
    fit_columns();
}

QWidget* VmcsView::make_legend() {
    auto* box = new QWidget(this);
    legend_ = new QLabel(
        QStringLiteral("▨ undefined    ✓ ✗ as the rule computes or not    ⚑ finding    ∅ says nothing here"), box);
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
    filter_.set_only_findings(only_findings_->isChecked());
    filter_.set_hide_meaningless(hide_meaningless_->isChecked());
    restore_expansion();
    update_counts();
}

void VmcsView::update_counts() {
    const int all = static_cast<int>(vmx::kFieldCount), shown = filter_.matches();
    const int absent = all - model_.present();
    counts_->setToolTip(filter_.shows_absent() || absent == 0
                            ? QString()
                            : QStringLiteral("%1 fields that neither VMCS has are hidden (View menu).").arg(absent));
    counts_->setText(shown == all ? QStringLiteral("%1 fields").arg(all)
                                  : QStringLiteral("%1 of %2 fields").arg(shown).arg(all));
    only_differences_->setText(QStringLiteral("≠ differ %1").arg(model_.differing()));
    only_changed_->setText(QStringLiteral("Δ changed %1").arg(model_.changed()));
    only_findings_->setText(QStringLiteral("⚑ findings %1").arg(model_.with_findings()));
    hide_meaningless_->setText(QStringLiteral("hide ∅ %1").arg(model_.meaningless()));
}

void VmcsView::show_shown(const ShownPtr& shown, const QString& empty) {
    shown_ = shown;
    model_.show(shown);
    const bool read =
        shown && (shown->transition->vmcs12_after.any_known() || shown->transition->vmcs02_after.any_known());
    for (QWidget* widget : {static_cast<QWidget*>(tree_), filter_line_, legend_line_}) widget->setVisible(read);
    for (QCheckBox* check : {only_differences_, only_changed_, only_findings_})
        check->setVisible(!shown || !shown->dump);
    nothing_->setVisible(!read);
    nothing_->setText(shown ? QString::fromUtf8(kNothingRead) : empty);
    head_->show_shown(shown);
    fit_columns();
    update_counts();
}

std::optional<vmx::Field> VmcsView::field() const {
    const QVariant at = tree_->currentIndex().siblingAtColumn(0).data(FieldRole);
    if (!at.isValid()) return std::nullopt;
    return vmx::all_fields()[static_cast<size_t>(at.toInt())].field;
}

void VmcsView::select_field(vmx::Field field) {
    const QModelIndex at = filter_.mapFromSource(model_.index_of(field));
    if (!at.isValid()) return;
    tree_->expand(at.parent());
    tree_->setCurrentIndex(at);
    tree_->scrollTo(at, QAbstractItemView::PositionAtCenter);
}

QString VmcsView::heading() const {
    return head_->title().isEmpty() ? nothing_->text() : head_->title();
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
    for (QLabel* label : {counts_, legend_, nothing_}) set_text_colour(label, colors().muted());
    head_->recolour();
}

}  // namespace vmxscope::ui
