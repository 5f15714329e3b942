#include "ui/entry_check_model.h"

#include "ui/roles.h"
#include "ui/text.h"

namespace vmxscope::ui {

void EntryCheckModel::set_vmcs(std::optional<vmx::VmcsImage> image) {
    image_ = std::move(image);
    recheck();
}

void EntryCheckModel::set_capabilities(std::optional<vmx::Capabilities> capabilities) {
    capabilities_ = std::move(capabilities);
    recheck();
}

void EntryCheckModel::set_show(Show show) {
    beginResetModel();
    show_ = show;
    fill_rows();
    endResetModel();
}

void EntryCheckModel::edit(vmx::Field field, std::uint64_t bits) {
    // What was read is no edit.
    if (original(field) == vmx::Value::of(bits))
        edits_.erase(field);
    else
        edits_[field] = bits;
    recheck();
}

void EntryCheckModel::reset_edits() {
    edits_.clear();
    recheck();
}

vmx::Value EntryCheckModel::value(vmx::Field field) const {
    const auto edited = edits_.find(field);
    return edited == edits_.end() ? original(field) : vmx::Value::of(edited->second);
}

void EntryCheckModel::recheck() {
    beginResetModel();
    check_.reset();
    if (image_ && capabilities_) {
        edited_ = *image_;
        for (const auto& [field, bits] : edits_) edited_[field] = vmx::Value::of(bits);
        check_ = vmx::check_entry(edited_, *capabilities_);
    }
    fill_rows();
    endResetModel();
    emit rechecked();
}

void EntryCheckModel::fill_rows() {
    rows_.clear();
    if (!check_) return;
    for (std::size_t i = 0; i < vmx::entry_rules().size(); ++i) {
        const vmx::Outcome outcome = check_->outcomes[i];
        if (show_ == Show::All || (show_ == Show::Failing && outcome == vmx::Outcome::Failed) ||
            (show_ == Show::Undecided && outcome == vmx::Outcome::Undecided))
            rows_.push_back(i);
    }
}

QString EntryCheckModel::verdict() const {
    if (!image_) return QStringLiteral("There is no VMCS to check here.");
    if (!capabilities_) return QStringLiteral("Not checked: the processor's VMX capabilities are not known.");
    const auto first = check_->first();
    if (first) return QStringLiteral("VM-entry fails: %1.").arg(answer(*first));
    const QString passed = counted(vmx::entry_rules().size() - undecided(), QStringLiteral("rule"));
    if (undecided() == 0) return QStringLiteral("VM-entry passes all %1.").arg(passed);
    return QStringLiteral("No rule fails: %1 hold, %2 could not be decided.").arg(passed).arg(undecided());
}

Mark EntryCheckModel::verdict_mark() const {
    return !check_ ? Mark::Unknown : check_->first() ? Mark::Alarm : Mark::Agree;
}

vmx::Field EntryCheckModel::field_at(int row) const {
    return vmx::entry_rules()[rows_[static_cast<size_t>(row)]].fields[0];
}

QString EntryCheckModel::answer(std::size_t rule) const {
    const vmx::EntryRule& r = vmx::entry_rules()[rule];
    const bool loading = r.answer == vmx::Answer::MsrLoading;
    return qs(vmx::describe(r.answer, loading ? check_->msr_entry : r.qualification));
}

QString EntryCheckModel::sentence(std::size_t rule) const {
    const vmx::EntryRule& r = vmx::entry_rules()[rule];
    switch (check_->outcomes[rule]) {
        case vmx::Outcome::Failed:
            return qs(vmx::explain(r, edited_, *capabilities_)) + QStringLiteral(" → ") + answer(rule);
        case vmx::Outcome::Undecided:
            return qs(r.title) + QStringLiteral(". Not decided: ") +
                   qs(vmx::why_undecided(r, edited_, *capabilities_)) + QLatin1Char('.');
        case vmx::Outcome::Passed: return qs(r.title) + QLatin1Char('.');
    }
    return {};
}

Mark EntryCheckModel::mark_of(vmx::Outcome outcome) {
    return outcome == vmx::Outcome::Failed   ? Mark::Disagree
           : outcome == vmx::Outcome::Passed ? Mark::Agree
                                             : Mark::Unknown;
}

int EntryCheckModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}
int EntryCheckModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant EntryCheckModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const std::size_t at = rows_[static_cast<size_t>(index.row())];
    const vmx::EntryRule& rule = vmx::entry_rules()[at];
    const Mark mark = mark_of(check_->outcomes[at]);
    if (role == MarkRole) return static_cast<int>(index.column() == Rule ? mark : Mark::None);
    if (role == FieldRole) return static_cast<int>(*vmx::index_of(rule.fields[0]));
    if (role == DetailRole) return index.column() == Rule ? sentence(at) : QString();
    if (role == Qt::ToolTipRole)
        return QStringLiteral("%1\n%2\nSDM Vol. 3C %3").arg(qs(rule.id), sentence(at), qs(rule.section));
    if (role != Qt::DisplayRole) return {};
    if (index.column() == Section) return qs(rule.section);
    const QString first = check_->first() == at ? QStringLiteral(" (first)") : QString();
    return glyph_of(mark) + QLatin1Char(' ') + qs(rule.id) + first;
}

QVariant EntryCheckModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    return section == Rule ? QStringLiteral("Rule, in the processor's order") : QStringLiteral("SDM");
}

EditsModel::EditsModel(const EntryCheckModel& checks, QObject* parent) : QAbstractTableModel(parent), checks_(checks) {
    connect(&checks, &EntryCheckModel::rechecked, this, [this] {
        beginResetModel();
        rows_.clear();
        for (const auto& edit : checks_.edits()) rows_.push_back(edit.first);
        endResetModel();
    });
}

int EditsModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}
int EditsModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant EditsModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const vmx::Field field = rows_[static_cast<size_t>(index.row())];
    const vmx::Value shown = index.column() == Read ? checks_.original(field) : checks_.value(field);
    if (role == FieldRole) return static_cast<int>(*vmx::index_of(field));
    if (role == FigureRole) return index.column() != FieldName;
    if (role == EditedRole) return index.column() == Now;
    if (role == StateRole) return static_cast<int>(index.column() == Read ? shown.state : vmx::Known::Yes);
    if (role == Qt::ToolTipRole) return field_meaning(field, checks_.original(field), checks_.value(field));
    if (role != Qt::DisplayRole) return {};
    return index.column() == FieldName ? qs(vmx::name_of(field)) : value_text(shown);
}

QVariant EditsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"Edited field", "As read", "What if"};
    return QString::fromLatin1(names[section]);
}

std::optional<std::uint64_t> parse_value(const QString& text, vmx::Field field) {
    bool good = false;
    const qulonglong value = text.trimmed().toULongLong(&good, 0);
    const unsigned bits = vmx::bytes_of(field) * 8;
    if (!good || (bits < 64 && value >> bits != 0)) return std::nullopt;
    return value;
}

}  // namespace vmxscope::ui
