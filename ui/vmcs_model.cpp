#include "ui/vmcs_model.h"

#include <algorithm>

#include "nested/changes.h"
#include "nested/flow_text.h"
#include "ui/roles.h"
#include "ui/text.h"
#include "ui/verdict_text.h"

namespace vmxscope::ui {

namespace {

/// Marks an index as a group's; a field's index holds its group's row instead.
constexpr quintptr kGroupId = ~quintptr{0};

bool is_pdptr(vmx::Field f) {
    using enum vmx::Field;
    return f == GUEST_PDPTR0 || f == GUEST_PDPTR1 || f == GUEST_PDPTR2 || f == GUEST_PDPTR3;
}

const vmx::FieldInfo& info(std::size_t field) {
    return vmx::all_fields()[field];
}

}  // namespace

VmcsModel::VmcsModel(QObject* parent) : QAbstractItemModel(parent) {
    for (std::size_t i = 0; i < vmx::all_fields().size(); ++i) {
        const vmx::Group group = info(i).group;
        auto place = std::find_if(groups_.begin(), groups_.end(), [&](const GroupRows& g) { return g.group == group; });
        if (place == groups_.end()) place = groups_.insert(place, GroupRows{group, {}});
        place->fields.push_back(i);
    }
    std::sort(groups_.begin(), groups_.end(), [](const auto& a, const auto& b) { return a.group < b.group; });
}

void VmcsModel::show(ShownPtr shown) {
    shown_ = std::move(shown);
    const auto verdict = shown_ ? shown_->verdict : std::nullopt;
    is12_ = verdict ? verdict->vmcs12 : nested::Is::Unknown;
    is02_ = verdict ? verdict->vmcs02 : nested::Is::Unknown;
    findings_.reset();
    if (shown_)
        for (const nested::Finding& f : shown_->flow.findings) findings_.set(*vmx::index_of(f.field));
    for (int g = 0; g < rowCount(); ++g) {
        const QModelIndex group = index(g, 0);
        emit dataChanged(group, index(g, kColumnCount - 1));
        emit dataChanged(index(0, 0, group), index(rowCount(group) - 1, kColumnCount - 1, group));
    }
    emit headerDataChanged(Qt::Horizontal, 0, kColumnCount - 1);
}

vmx::Value VmcsModel::before(std::size_t field, int column) const {
    const bool is12 = column == Vmcs12;
    const nested::Transition& t = *shown_->transition;
    const vmx::VmcsImage& own = is12 ? t.vmcs12_before : t.vmcs02_before;
    if (own.any_known()) return own.at_index(field);
    if (!shown_->previous) return {};
    return (is12 ? shown_->previous->vmcs12_after : shown_->previous->vmcs02_after).at_index(field);
}

VmcsModel::Cell VmcsModel::cell(std::size_t field, int column) const {
    if (!shown_ || (column != Vmcs12 && column != Vmcs02)) return {};
    const bool is12 = column == Vmcs12;
    Cell cell{(is12 ? shown_->transition->vmcs12_after : shown_->transition->vmcs02_after).at_index(field), {}, false};
    const vmx::Value was = before(field, column);
    if (nested::differs(was, cell.value)) cell.was = was;
    cell.undefined = is_pdptr(info(field).field) && (is12 ? is12_ : is02_) == nested::Is::Undefined;
    return cell;
}

bool VmcsModel::differs(std::size_t field) const {
    return nested::differs(cell(field, Vmcs12).value, cell(field, Vmcs02).value);
}

bool VmcsModel::changed(std::size_t field) const {
    return cell(field, Vmcs12).was.has_value() || cell(field, Vmcs02).was.has_value();
}

bool VmcsModel::absent(std::size_t field) const {
    if (!shown_) return false;
    const auto none = [&](int column) { return cell(field, column).value.state == vmx::Known::Unsupported; };
    // A dump has one VMCS, and says nothing of fields that it does not print.
    if (shown_->dump) return !cell(field, shown_->only12() ? Vmcs12 : Vmcs02).value.known();
    return none(Vmcs12) && none(Vmcs02);
}

bool VmcsModel::meaningless(std::size_t field, int column) const {
    if (!shown_ || (column != Vmcs12 && column != Vmcs02)) return false;
    return !(column == Vmcs12 ? shown_->meaningless12 : shown_->meaningless02)[field].empty();
}

bool VmcsModel::meaningless(std::size_t field) const {
    const auto says_nothing = [&](int column) {
        return !cell(field, column).value.known() || meaningless(field, column);
    };
    const bool any = cell(field, Vmcs12).value.known() || cell(field, Vmcs02).value.known();
    return any && says_nothing(Vmcs12) && says_nothing(Vmcs02);
}

template <typename Test>
int VmcsModel::count(Test test) const {
    int sum = 0;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) sum += test(i) ? 1 : 0;
    return sum;
}

int VmcsModel::present() const {
    return count([this](std::size_t i) { return !absent(i); });
}
int VmcsModel::differing() const {
    return count([this](std::size_t i) { return differs(i); });
}
int VmcsModel::changed() const {
    return count([this](std::size_t i) { return changed(i); });
}
int VmcsModel::with_findings() const {
    return static_cast<int>(findings_.count());
}
int VmcsModel::meaningless() const {
    return count([this](std::size_t i) { return meaningless(i); });
}

QModelIndex VmcsModel::index_of(vmx::Field field) const {
    const std::size_t wanted = *vmx::index_of(field);
    for (int g = 0; g < rowCount(); ++g) {
        const std::vector<std::size_t>& fields = groups_[static_cast<size_t>(g)].fields;
        const auto found = std::find(fields.begin(), fields.end(), wanted);
        if (found != fields.end()) return index(static_cast<int>(found - fields.begin()), 0, index(g, 0));
    }
    return {};
}

QModelIndex VmcsModel::index(int row, int column, const QModelIndex& parent) const {
    if (!hasIndex(row, column, parent)) return {};
    return createIndex(row, column, parent.isValid() ? static_cast<quintptr>(parent.row()) : kGroupId);
}

QModelIndex VmcsModel::parent(const QModelIndex& index) const {
    if (!index.isValid() || index.internalId() == kGroupId) return {};
    return createIndex(static_cast<int>(index.internalId()), 0, kGroupId);
}

int VmcsModel::rowCount(const QModelIndex& parent) const {
    if (!parent.isValid()) return static_cast<int>(groups_.size());
    if (parent.internalId() != kGroupId || parent.column() != 0) return 0;
    return static_cast<int>(groups_[static_cast<size_t>(parent.row())].fields.size());
}

int VmcsModel::columnCount(const QModelIndex&) const {
    return kColumnCount;
}

std::size_t VmcsModel::field_at(const QModelIndex& index) const {
    return groups_[index.internalId()].fields[static_cast<size_t>(index.row())];
}

QVariant VmcsModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    return index.internalId() == kGroupId ? group_data(index, role) : field_data(index, role);
}

QVariant VmcsModel::group_data(const QModelIndex& index, int role) const {
    const GroupRows& group = groups_[static_cast<size_t>(index.row())];
    if (role == GroupRole) return true;
    if (role != Qt::DisplayRole) return {};
    if (index.column() == Name) return qs(vmx::name_of(group.group));
    if (index.column() != Meaning || !shown_) return {};
    int present = 0, different = 0, changes = 0;
    for (const std::size_t field : group.fields) {
        present += absent(field) ? 0 : 1;
        different += differs(field) ? 1 : 0;
        changes += changed(field) ? 1 : 0;
    }
    if (shown_->dump) return QStringLiteral("%1 fields").arg(present);
    return QStringLiteral("%1 fields, %2 differ, %3 changed").arg(present).arg(different).arg(changes);
}

QString VmcsModel::text(std::size_t field, int column) const {
    if (column == Name) return qs(info(field).name);
    if (!shown_) return {};
    if (column == Meaning) return meaning(field);
    if (column == Rule) return rule_cell(field);
    if (column == CameFrom) return came_from(field);
    return value_text(cell(field, column).value);
}

QString VmcsModel::rule_cell(std::size_t field) const {
    if (!shown_->moves()) return {};
    const QString glyph = match_glyph(shown_->flow.fields[field].match);
    return has_finding(field) ? glyph + glyph_of(Mark::Finding) : glyph;
}

QString VmcsModel::rule_tip(std::size_t field) const {
    if (!shown_->moves()) return {};
    const nested::Transition& t = *shown_->transition;
    const vmx::Field f = info(field).field;
    QStringList lines{qs(nested::name_of(shown_->flow.fields[field].match)),
                      qs(nested::prediction_text(t, shown_->flow, f)), qs(nested::rule_text(t, shown_->flow, f))};
    for (const nested::Finding& finding : shown_->flow.findings)
        if (finding.field == f)
            lines << glyph_of(Mark::Finding) + QLatin1Char(' ') + qs(nested::finding_text(t, shown_->flow, finding));
    lines.removeAll(QString());
    return lines.join(QLatin1Char('\n'));
}

QString VmcsModel::came_from(std::size_t field) const {
    if (shown_->dump) return {};
    const nested::FieldFlow& f = shown_->flow.fields[field];
    const QString in12 = origin_word(f.vmcs12, f.vmcs12_since), in02 = origin_word(f.vmcs02, f.vmcs02_since);
    return in12 + QStringLiteral(" · ") + in02;
}

QString VmcsModel::meaning(std::size_t field) const {
    const Cell in12 = cell(field, Vmcs12), in02 = cell(field, Vmcs02);
    const vmx::Field f = info(field).field;
    const nested::Transition& t = *shown_->transition;
    if (meaningless(field)) {
        const std::string_view why = shown_->meaningless12[field];
        return QStringLiteral("∅ ") + qs(why.empty() ? shown_->meaningless02[field] : why);
    }
    if (!in12.undefined && !in02.undefined)
        return field_meaning(f, in12.value, in02.value, &t.vmcs12_after, &t.vmcs02_after);
    // What an undefined value "decodes" to would be believed; the word stands in its place.
    if (in12.undefined && in02.undefined) return QStringLiteral("undefined in both");
    const Cell& good = in12.undefined ? in02 : in12;
    const QString rest = field_meaning(f, good.value, good.value);
    return QStringLiteral("undefined in %1 · %2: %3")
        .arg(QLatin1String(in12.undefined ? "vmcs12" : "vmcs02"), QLatin1String(in12.undefined ? "vmcs02" : "vmcs12"),
             rest);
}

QString VmcsModel::tool_tip(std::size_t field, int column) const {
    if (column == Name)
        return QStringLiteral("%1: encoding %2, %3 bytes")
            .arg(qs(info(field).name), hex(static_cast<std::uint64_t>(info(field).field)))
            .arg(vmx::bytes_of(info(field).field));
    if (column == Meaning || !shown_) return text(field, column);
    if (column == Rule) return rule_tip(field);
    if (column == CameFrom)
        return shown_->dump ? QString()
                            : qs(nested::provenance_text(*shown_->transition, shown_->flow, info(field).field));
    return cell_tip(field, column);
}

QString VmcsModel::cell_tip(std::size_t field, int column) const {
    const Cell c = cell(field, column);
    QStringList lines{value_explanation(c.value)};
    if (c.value.known()) lines << hex(c.value.bits) + QStringLiteral(" = ") + QString::number(c.value.bits);
    if (c.was) lines << QStringLiteral("was %1 before this transition").arg(hex(c.was->bits));
    if (c.undefined) lines << QStringLiteral("undefined: by the SDM nobody may rely on this value here");
    if (meaningless(field, column))
        lines << QStringLiteral("says nothing here: ") +
                     qs((column == Vmcs12 ? shown_->meaningless12 : shown_->meaningless02)[field]);
    lines.removeAll(QString());
    return lines.join(QLatin1Char('\n'));
}

Mark VmcsModel::rule_mark(std::size_t field) const {
    if (!shown_ || !shown_->moves()) return Mark::None;
    if (has_finding(field)) return Mark::Finding;
    const nested::Match match = shown_->flow.fields[field].match;
    return match == nested::Match::AsPredicted ? Mark::Agree
           : match == nested::Match::Differs   ? Mark::Disagree
                                               : Mark::Unknown;
}

QVariant VmcsModel::field_data(const QModelIndex& index, int role) const {
    const std::size_t field = field_at(index);
    const int column = index.column();
    const bool figure = column == Vmcs12 || column == Vmcs02;
    switch (role) {
        case Qt::DisplayRole: return text(field, column);
        case Qt::ToolTipRole: return tool_tip(field, column);
        case StateRole: return figure ? static_cast<int>(cell(field, column).value.state) : QVariant();
        case DiffersRole: return differs(field);
        case ChangedRole: return figure ? cell(field, column).was.has_value() : changed(field);
        case UndefinedRole: return figure && cell(field, column).undefined;
        case FigureRole: return figure;
        case AbsentRole: return absent(field);
        case MeaninglessRole: return figure ? meaningless(field, column) : meaningless(field);
        case FindingRole: return has_finding(field);
        case FieldRole: return static_cast<int>(field);
        case MarkRole: return column == Rule ? static_cast<int>(rule_mark(field)) : 0;
        case Qt::AccessibleTextRole:
            return column == Rule && shown_ ? qs(nested::name_of(shown_->flow.fields[field].match)) : QVariant();
        case GroupRole: return false;
        default: return {};
    }
}

QVariant VmcsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) return {};
    if (role == Qt::TextAlignmentRole && (section == Vmcs12 || section == Vmcs02))
        return QVariant(Qt::AlignRight | Qt::AlignVCenter);
    if (role == Qt::ToolTipRole && section == Rule)
        return QStringLiteral("✓ the value is what KVM's rule computes, ✗ it is not, – nothing can be computed");
    if (role == Qt::ToolTipRole && section == CameFrom)
        return QStringLiteral("Where the value in vmcs12 came from, and where that in vmcs02 did");
    if (role != Qt::DisplayRole) return {};
    switch (section) {
        case Name: return QStringLiteral("Field");
        case Vmcs12:
            return shown_ && shown_->only12() ? qs(core::name_of(shown_->dump->role)) : QStringLiteral("vmcs12");
        case Vmcs02:
            // An image read earlier must not pass for one read here.
            if (shown_ && shown_->only02()) return qs(core::name_of(shown_->dump->role));
            if (shown_ && shown_->transition->vmcs02_as_of != 0 &&
                shown_->transition->vmcs02_as_of != shown_->transition->seq)
                return QStringLiteral("vmcs02 as of #%1").arg(shown_->transition->vmcs02_as_of);
            return QStringLiteral("vmcs02");
        case Rule: return QStringLiteral("Rule");
        case CameFrom: return QStringLiteral("From: 12 · 02");
        case Meaning: return QStringLiteral("Meaning");
        default: return {};
    }
}

VmcsFilter::VmcsFilter(QObject* parent) : QSortFilterProxyModel(parent) {
    setRecursiveFilteringEnabled(true);
}

void VmcsFilter::set_text(const QString& text) {
    text_ = text.trimmed();
    invalidateFilter();
}

void VmcsFilter::set_only_differences(bool on) {
    only_differences_ = on;
    invalidateFilter();
}

void VmcsFilter::set_only_changed(bool on) {
    only_changed_ = on;
    invalidateFilter();
}

void VmcsFilter::set_only_findings(bool on) {
    only_findings_ = on;
    invalidateFilter();
}

void VmcsFilter::set_hide_meaningless(bool on) {
    hide_meaningless_ = on;
    invalidateFilter();
}

void VmcsFilter::set_show_absent(bool on) {
    show_absent_ = on;
    invalidateFilter();
}

int VmcsFilter::matches() const {
    int count = 0;
    for (int g = 0; g < rowCount(); ++g) count += rowCount(index(g, 0));
    return count;
}

bool VmcsFilter::filterAcceptsRow(int row, const QModelIndex& parent) const {
    // Groups are accepted by recursion: when one of their fields is.
    if (!parent.isValid()) return false;
    const QModelIndex field = sourceModel()->index(row, VmcsModel::Name, parent);
    if (!show_absent_ && field.data(AbsentRole).toBool()) return false;
    if (only_differences_ && !field.data(DiffersRole).toBool()) return false;
    if (only_changed_ && !field.data(ChangedRole).toBool()) return false;
    if (only_findings_ && !field.data(FindingRole).toBool()) return false;
    if (hide_meaningless_ && field.data(MeaninglessRole).toBool()) return false;
    if (text_.isEmpty() || field.data(Qt::ToolTipRole).toString().contains(text_, Qt::CaseInsensitive)) return true;
    for (int column = 0; column < VmcsModel::kColumnCount; ++column)
        if (field.siblingAtColumn(column).data().toString().contains(text_, Qt::CaseInsensitive)) return true;
    return false;
}

}  // namespace vmxscope::ui
