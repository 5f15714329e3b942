#include "ui/entry_check_panel.h"

#include <QComboBox>
#include <QCompleter>
#include <QFormLayout>
#include <QGroupBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QTreeView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
#include "ui/fitted_table.h"
#include "ui/labels.h"
#include "ui/roles.h"
#include "ui/text.h"
#include "ui/verdict_banner.h"
#include "vmx/decode/words.h"
#include "vmx/exit_reason.h"

namespace vmxscope::ui {

namespace {

enum Which : int { kVmcs12, kVmcs02 };
enum Processor : int { kL1, kL0, kNamed };  // the data of a row of the choice; a named one has its name as text

/// Entries that failed are checked as they were tried: what came after may have changed the VMCS.
const vmx::VmcsImage& image_of(const Shown& shown, bool is12) {
    const nested::Transition& t = *shown.transition;
    const vmx::VmcsImage& before = is12 ? t.vmcs12_before : t.vmcs02_before;
    return shown.entry_failed() && before.any_known() ? before : is12 ? t.vmcs12_after : t.vmcs02_after;
}

/// What was said to the entry: KVM's reason, the instruction error, the exit reason.
QString outcome_text(const nested::Transition& t) {
    QStringList said;
    if (!t.kvm_reason.empty()) said << QStringLiteral("KVM: ") + qs(t.kvm_reason) + QLatin1Char('.');
    if (t.exit.reason.known() && vmx::entry_failed(static_cast<std::uint32_t>(t.exit.reason.bits)))
        said << QStringLiteral("L1 is told: exit reason %1, qualification %2.")
                    .arg(exit_reason_text(t.exit), value_text(t.exit.qualification));
    const vmx::Value error = t.vmcs12_after[vmx::Field::VM_INSTRUCTION_ERROR];
    if (t.kind == nested::Kind::NestedEntryFailed && error.known() && error.bits != 0)
        said << QStringLiteral("VM-instruction error %1: %2.")
                    .arg(error.bits)
                    .arg(qs(vmx::vm_instruction_error_name(error.bits)));
    if (t.kind == nested::Kind::NestedEntryFailed && t.status)
        said << QStringLiteral("nested_vmx_enter_non_root_mode returned %1.").arg(*t.status);
    return said.join(QLatin1Char(' '));
}

}  // namespace

EntryCheckPanel::EntryCheckPanel(QWidget* parent) : QWidget(parent), why_not_(QStringLiteral("Nothing is attached.")) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 8);
    layout->setSpacing(6);
    layout->addWidget(make_choices());
    outcome_ = wrapped_label(this);
    layout->addWidget(outcome_);
    verdict_ = new Tag(this);
    layout->addWidget(verdict_);
    hint_ = wrapped_label(this);
    layout->addWidget(hint_);
    make_list();
    layout->addWidget(list_, 1);
    layout->addStretch(0);  // takes the room of a list that is hidden
    layout->addWidget(make_editor());
    connect(&checks_, &EntryCheckModel::rechecked, this, &EntryCheckPanel::update_texts);
    fill_capability_choice();
    show_shown(nullptr);
}

QWidget* EntryCheckPanel::make_choices() {
    auto* box = new QWidget(this);
    which_ = new QComboBox(box);
    which_->addItems({QStringLiteral("vmcs12"), QStringLiteral("vmcs02")});
    which_->setToolTip(QStringLiteral("Which VMCS is checked"));
    capabilities_ = new QComboBox(box);
    capabilities_->setToolTip(QStringLiteral("Whose VMX capabilities it is checked against"));
    capabilities_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    capabilities_->setMinimumContentsLength(10);
    show_ = new QComboBox(box);
    show_->addItems({QStringLiteral("Failing"), QStringLiteral("Undecided"), QStringLiteral("All")});
    show_->setToolTip(QStringLiteral("Which rules are listed"));
    auto* layout = new QHBoxLayout(box);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(which_);
    layout->addWidget(new QLabel(QStringLiteral("for"), box));
    layout->addWidget(capabilities_, 1);
    layout->addWidget(show_);
    connect(which_, &QComboBox::activated, this, [this] {
        if (capabilities_->currentData().toInt() != kNamed) chosen_.clear();
        fill_capability_choice();
        choose_vmcs();
    });
    connect(capabilities_, &QComboBox::textActivated, this, [this](const QString& name) {
        chosen_ = name;
        choose_capabilities();
    });
    connect(show_, &QComboBox::activated, this, [this](int at) {
        checks_.set_show(static_cast<EntryCheckModel::Show>(at));
        update_texts();
    });
    return box;
}

void EntryCheckPanel::make_list() {
    list_ = new QTreeView(this);
    list_->setModel(&checks_);
    list_->setItemDelegate(new CellDelegate(list_));
    list_->setRootIsDecorated(false);
    list_->setSelectionBehavior(QAbstractItemView::SelectRows);
    list_->setAllColumnsShowFocus(true);
    list_->setAccessibleName(QStringLiteral("Rules of VM-entry"));
    auto* header = list_->header();
    header->setStretchLastSection(false);
    header->setSectionResizeMode(EntryCheckModel::Rule, QHeaderView::Stretch);
    header->setSectionResizeMode(EntryCheckModel::Section, QHeaderView::ResizeToContents);
    // Heights depend on widths: sentences are broken into lines.
    connect(list_->header(), &QHeaderView::sectionResized, list_, &QTreeView::doItemsLayout);
    connect(list_, &QTreeView::clicked, this, [this](const QModelIndex& at) {
        edit(checks_.field_at(at.row()));
        emit picked(checks_.field_at(at.row()));
    });
}

QWidget* EntryCheckPanel::make_editor() {
    auto* box = new QGroupBox(QStringLiteral("What if… (never written to the guest)"), this);
    field_ = new QComboBox(box);
    field_->setEditable(true);
    field_->setInsertPolicy(QComboBox::NoInsert);
    for (const vmx::FieldInfo& info : vmx::all_fields()) field_->addItem(qs(info.name));
    field_->completer()->setFilterMode(Qt::MatchContains);
    field_->completer()->setCompletionMode(QCompleter::PopupCompletion);
    field_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    field_->setMinimumContentsLength(14);
    field_->setAccessibleName(QStringLiteral("Field to change"));
    value_ = new QLineEdit(box);
    value_->setFont(CellDelegate::figure_font(font()));
    value_->setPlaceholderText(QStringLiteral("0x…"));
    value_->setAccessibleName(QStringLiteral("Its value"));
    set_ = new QPushButton(QStringLiteral("Try"), box);
    reset_ = new QPushButton(QStringLiteral("Reset"), box);
    reset_->setToolTip(QStringLiteral("Every field as it was read"));
    complaint_ = wrapped_label(box);
    edits_table_ = new FittedTable(&edits_, box);
    edits_table_->verticalHeader()->hide();
    edits_table_->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    edits_table_->horizontalHeader()->setSectionResizeMode(EditsModel::FieldName, QHeaderView::Stretch);
    edits_table_->setAccessibleName(QStringLiteral("Edited fields"));
    auto* line = new QHBoxLayout;
    line->addWidget(value_, 1);
    line->addWidget(set_);
    line->addWidget(reset_);
    auto* layout = new QVBoxLayout(box);
    layout->setContentsMargins(8, 6, 8, 6);
    layout->addWidget(field_);
    layout->addLayout(line);
    layout->addWidget(complaint_);
    layout->addWidget(edits_table_);
    connect(field_, &QComboBox::currentTextChanged, this, [this](const QString& name) {
        if (const auto field = vmx::field_by_name(name.toStdString())) {
            const vmx::Value v = checks_.value(*field);
            value_->setText(v.known() ? hex(v.bits) : QString());
        }
    });
    connect(set_, &QPushButton::clicked, this, &EntryCheckPanel::apply_edit);
    connect(value_, &QLineEdit::returnPressed, this, &EntryCheckPanel::apply_edit);
    connect(reset_, &QPushButton::clicked, this, [this] {
        checks_.reset_edits();
        emit field_->currentTextChanged(field_->currentText());
    });
    return box;
}

void EntryCheckPanel::apply_edit() {
    const auto field = vmx::field_by_name(field_->currentText().trimmed().toStdString());
    if (!field) return say(complaint_, QStringLiteral("No VMCS field is called “%1”.").arg(field_->currentText()));
    const auto bits = parse_value(value_->text(), *field);
    if (!bits)
        return say(complaint_, QStringLiteral("“%1” is no number of %2 bits. Write 0x… or a decimal number.")
                                   .arg(value_->text())
                                   .arg(vmx::bytes_of(*field) * 8));
    say(complaint_, {});
    checks_.edit(*field, *bits);
}

void EntryCheckPanel::edit(vmx::Field field) {
    field_->setCurrentText(qs(vmx::name_of(field)));
    value_->setFocus();
    value_->selectAll();
}

void EntryCheckPanel::show_shown(const ShownPtr& shown) {
    shown_ = shown;
    const bool dump = shown && shown->dump;
    if (dump) which_->setCurrentIndex(shown->only12() ? kVmcs12 : kVmcs02);
    which_->setEnabled(!dump);
    fill_capability_choice();
    choose_vmcs();
    emit field_->currentTextChanged(field_->currentText());
}

void EntryCheckPanel::choose_vmcs() {
    const bool is12 = which_->currentIndex() == kVmcs12;
    std::optional<vmx::VmcsImage> image;
    if (shown_ && image_of(*shown_, is12).any_known()) image = image_of(*shown_, is12);
    checks_.set_vmcs(std::move(image));
}

void EntryCheckPanel::set_capabilities(const std::optional<core::TargetCapabilities>& both, const QString& why_not) {
    target_ = both;
    why_not_ = why_not;
    fill_capability_choice();
}

void EntryCheckPanel::set_cpus(const QStringList& names) {
    cpus_ = names;
    fill_capability_choice();
}

void EntryCheckPanel::cpu_loaded(const QString& name, const vmx::Capabilities& capabilities) {
    loaded_[name] = capabilities;
    choose_capabilities();
}

void EntryCheckPanel::fill_capability_choice() {
    capabilities_->clear();
    capabilities_->addItem(QStringLiteral("what L1 is shown"), kL1);
    capabilities_->addItem(QStringLiteral("L0's processor"), kL0);
    for (const QString& cpu : cpus_) capabilities_->addItem(cpu, kNamed);
    // vmcs12 is for the processor that L1 sees, vmcs02 for the real one; where neither is known, any will do.
    int at = capabilities_->findData(which_->currentIndex() == kVmcs12 ? kL1 : kL0);
    const QString name = chosen_.isEmpty() && !target_ ? QStringLiteral("any") : chosen_;
    if (const int found = capabilities_->findText(name); found >= 0) at = found;
    capabilities_->setCurrentIndex(at);
    choose_capabilities();
}

void EntryCheckPanel::choose_capabilities() {
    const int kind = capabilities_->currentData().toInt();
    const QString name = capabilities_->currentText();
    std::optional<vmx::Capabilities> caps;
    if (kind == kNamed) {
        if (const auto found = loaded_.find(name); found != loaded_.end())
            caps = found->second;
        else
            emit cpu_wanted(name);
    } else if (target_) {
        caps = kind == kL1 ? target_->l1 : target_->l0;
    }
    checks_.set_capabilities(std::move(caps));
}

void EntryCheckPanel::update_texts() {
    say(outcome_, shown_ ? outcome_text(*shown_->transition) : QString());
    QString verdict = checks_.verdict();
    if (!checks_.edits().empty()) verdict += QStringLiteral(" With the edits below.");
    verdict_->say(checks_.verdict_mark(), verdict);
    const bool stand_in = shown_ && !target_ && chosen_.isEmpty();
    const QString instead = checks_.checked()
                                ? QStringLiteral(" So it is checked for a processor that allows everything.")
                                : QStringLiteral(" A processor can be chosen by name above.");
    say(hint_, stand_in ? why_not_ + instead : QString());
    list_->setVisible(checks_.checked() && checks_.rowCount() > 0);
    reset_->setEnabled(!checks_.edits().empty());
    edits_table_->setVisible(!checks_.edits().empty());
    complaint_->setVisible(!complaint_->text().isEmpty());
    if (checks_.checked()) show_->setItemText(0, QStringLiteral("Failing (%1)").arg(checks_.failed()));
    show_->setItemText(
        1, checks_.checked() ? QStringLiteral("Undecided (%1)").arg(checks_.undecided()) : QStringLiteral("Undecided"));
    if (checks_.checked() && checks_.rowCount() == 0 && show_->currentIndex() == 0 && checks_.undecided() > 0 &&
        !stand_in)
        say(hint_, QStringLiteral("What could not be decided, and why, is listed under “Undecided”."));
    recolour();
}

QString EntryCheckPanel::outcome() const {
    return outcome_->text();
}
QString EntryCheckPanel::verdict() const {
    return verdict_->accessibleName();
}

void EntryCheckPanel::recolour() {
    set_text_colour(hint_, colors().muted());
    set_text_colour(outcome_, colors().mark(Mark::Alarm).text);
    set_text_colour(complaint_, colors().error().text);
}

}  // namespace vmxscope::ui
