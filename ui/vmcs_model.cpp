#include "ui/vmcs_model.h"

#include <algorithm>

#include "nested/changes.h"
#include "ui/roles.h"
#include "ui/text.h"

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

void VmcsModel::show(TransitionPtr transition, TransitionPtr previous, const std::optional<nested::Verdict>& verdict) {
    transition_ = std::move(transition);
    previous_ = std::move(previous);
    is12_ = verdict ? verdict->vmcs12 : nested::Is::Unknown;
    is02_ = verdict ? verdict->vmcs02 : nested::Is::Unknown;
    for (int g = 0; g < rowCount(); ++g) {
        const QModelIndex group = index(g, 0);
        emit dataChanged(group, index(g, kColumnCount - 1));
        emit dataChanged(index(0, 0, group), index(rowCount(group) - 1, kColumnCount - 1, group));
    }
    emit headerDataChanged(Qt::Horizontal, 0, kColumnCount - 1);
}

vmx::Value VmcsModel::before(std::size_t field, int column) const {
    const bool is12 = column == Vmcs12;
    const vmx::VmcsImage& own = is12 ? transition_->vmcs12_before : transition_->vmcs02_before;
    if (own.any_known()) return own.at_index(field);
    if (!previous_) return {};
    return (is12 ? previous_->vmcs12_after : previous_->vmcs02_after).at_index(field);
}

VmcsModel::Cell VmcsModel::cell(std::size_t field, int column) const {
    if (!transition_ || (column != Vmcs12 && column != Vmcs02)) return {};
    const bool is12 = column == Vmcs12;
    Cell cell{(is12 ? transition_->vmcs12_after : transition_->vmcs02_after).at_index(field), {}, false};
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
    const auto none = [&](int column) { return cell(field, column).value.state == vmx::Known::Unsupported; };
    return none(Vmcs12) && none(Vmcs02);
}

int VmcsModel::present() const {
    int count = 0;
    for (std::size_t i = 0; i < vmx::all_fields().size(); ++i) count += absent(i) ? 0 : 1;
    return count;
}

int VmcsModel::differing() const {
    int count = 0;
    for (std::size_t i = 0; i < vmx::all_fields().size(); ++i) count += differs(i) ? 1 : 0;
    return count;
}

int VmcsModel::changed() const {
    int count = 0;
    for (std::size_t i = 0; i < vmx::all_fields().size(); ++i) count += changed(i) ? 1 : 0;
    return count;
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
    if (index.column() != Meaning || !transition_) return {};
    int present = 0, different = 0, changes = 0;
    for (const std::size_t field : group.fields) {
        present += absent(field) ? 0 : 1;
        different += differs(field) ? 1 : 0;
        changes += changed(field) ? 1 : 0;
    }
    return QStringLiteral("%1 fields, %2 differ, %3 changed").arg(present).arg(different).arg(changes);
}

QString VmcsModel::text(std::size_t field, int column) const {
    if (column == Name) return qs(info(field).name);
    if (!transition_) return {};
    if (column == Meaning) return meaning(field);
    return value_text(cell(field, column).value);
}

QString VmcsModel::meaning(std::size_t field) const {
    const Cell in12 = cell(field, Vmcs12), in02 = cell(field, Vmcs02);
    const vmx::Field f = info(field).field;
    if (!in12.undefined && !in02.undefined) return field_meaning(f, in12.value, in02.value);
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
    if (column == Meaning || !transition_) return text(field, column);
    const Cell c = cell(field, column);
    QStringList lines{value_explanation(c.value)};
    if (c.value.known()) lines << hex(c.value.bits) + QStringLiteral(" = ") + QString::number(c.value.bits);
    if (c.was) lines << QStringLiteral("was %1 before this transition").arg(hex(c.was->bits));
    if (c.undefined) lines << QStringLiteral("undefined: by the SDM nobody may rely on this value here");
    lines.removeAll(QString());
    return lines.join(QLatin1Char('\n'));
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
        case GroupRole: return false;
        default: return {};
    }
}

QVariant VmcsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) return {};
    if (role == Qt::TextAlignmentRole && (section == Vmcs12 || section == Vmcs02))
        return QVariant(Qt::AlignRight | Qt::AlignVCenter);
    if (role != Qt::DisplayRole) return {};
    switch (section) {
        case Name: return QStringLiteral("Field");
        case Vmcs12: return QStringLiteral("vmcs12");
        case Vmcs02:
            // An image read earlier must not pass for one read here.
            if (transition_ && transition_->vmcs02_as_of != 0 && transition_->vmcs02_as_of != transition_->seq)
                return QStringLiteral("vmcs02 as of #%1").arg(transition_->vmcs02_as_of);
            return QStringLiteral("vmcs02");
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
    if (text_.isEmpty() || field.data(Qt::ToolTipRole).toString().contains(text_, Qt::CaseInsensitive)) return true;
    for (int column = 0; column < VmcsModel::kColumnCount; ++column)
        if (field.siblingAtColumn(column).data().toString().contains(text_, Qt::CaseInsensitive)) return true;
    return false;
}

}  // namespace vmxscope::ui
