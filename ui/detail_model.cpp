#include "ui/detail_model.h"

#include <algorithm>

#include "nested/flow_rule.h"
#include "nested/flow_value.h"
#include "ui/roles.h"
#include "ui/text.h"
#include "vmx/bits.h"
#include "vmx/decode/details.h"

namespace vmxscope::ui {

namespace {

std::vector<vmx::Detail> details_of(vmx::Field field, const vmx::VmcsImage& image, const vmx::Capabilities* caps) {
    const vmx::Value& value = image[field];
    return value.known() ? vmx::details(field, value.bits, &image, caps) : std::vector<vmx::Detail>{};
}

}  // namespace

void DetailModel::show(const ShownPtr& shown, vmx::Field field, const core::TargetCapabilities* capabilities) {
    beginResetModel();
    rows_.clear();
    if (shown) {
        const nested::Transition& t = *shown->transition;
        for (const vmx::Detail& d : details_of(field, t.vmcs12_after, capabilities ? &capabilities->l1 : nullptr))
            rows_.push_back({qs(d.name), qs(d.value), {}, qs(d.meaning), {}});
        for (const vmx::Detail& d : details_of(field, t.vmcs02_after, capabilities ? &capabilities->l0 : nullptr)) {
            const auto same = std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) {
                return row.name == qs(d.name) && row.vmcs02.isEmpty();
            });
            if (same == rows_.end()) {
                rows_.push_back({qs(d.name), {}, qs(d.value), {}, qs(d.meaning)});
            } else {
                same->vmcs02 = qs(d.value);
                same->meaning02 = qs(d.meaning);
            }
        }
    }
    endResetModel();
}

int DetailModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}
int DetailModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QString DetailModel::meaning(const Row& row) const {
    if (row.meaning12 == row.meaning02 || row.meaning02.isEmpty()) return row.meaning12;
    if (row.meaning12.isEmpty()) return row.meaning02;
    return QStringLiteral("vmcs12: %1 · vmcs02: %2").arg(row.meaning12, row.meaning02);
}

QVariant DetailModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const Row& row = rows_[static_cast<size_t>(index.row())];
    const bool figure = index.column() == Vmcs12 || index.column() == Vmcs02;
    if (role == FigureRole) return figure;
    if (role == DiffersRole) return figure ? QVariant(row.differs()) : QVariant();
    if (role == DetailRole) return index.column() == Name ? meaning(row) : QString();
    if (role == Qt::ToolTipRole) return meaning(row);
    if (role != Qt::DisplayRole) return {};
    switch (index.column()) {
        case Name: return row.name;
        case Vmcs12: return row.vmcs12;
        case Vmcs02: return row.vmcs02;
        case Meaning: return meaning(row);
        default: return {};
    }
}

QVariant DetailModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"Bit by bit", "vmcs12", "vmcs02", "Meaning"};
    return QString::fromLatin1(names[section]);
}

void PartsModel::show(const ShownPtr& shown, vmx::Field field) {
    beginResetModel();
    rows_.clear();
    field_ = field;
    if (shown && shown->transition->kind == nested::Kind::NestedEntry) {
        const nested::Situation situation(*shown->transition);
        const std::size_t index = *vmx::index_of(field);
        for (const nested::Part& part : nested::parts_of(nested::flow_rules()[index], situation, *shown->transition))
            if (!part.name.empty()) rows_.push_back({qs(part.name), part.value, false});
        if (!rows_.empty()) add_results(*shown, index);
    }
    endResetModel();
}

void PartsModel::add_results(const Shown& shown, std::size_t index) {
    const nested::Predicted& predicted = shown.flow.fields[index].predicted;
    const bool whole = (predicted.mask & 0xffff) == 0xffff && ((predicted.mask + 1) & predicted.mask) == 0;
    rows_.push_back({whole || !predicted.known()
                         ? QStringLiteral("= by the rule")
                         : QStringLiteral("= by the rule, in the bits %1").arg(hex(predicted.mask)),
                     predicted.known() ? vmx::Value::of(predicted.bits) : vmx::Value{}, true});
    rows_.push_back({QStringLiteral("vmcs02 has"), shown.transition->vmcs02_after.at_index(index), true});
}

int PartsModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}
int PartsModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant PartsModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const Row& row = rows_[static_cast<size_t>(index.row())];
    const QString says = row.value.known() ? qs(vmx::describe(field_, row.value.bits)) : QString();
    if (role == GroupRole) return row.result;
    if (role == FigureRole) return index.column() == Value;
    if (role == StateRole) return static_cast<int>(index.column() == Value ? row.value.state : vmx::Known::Yes);
    if (role == DetailRole) return index.column() == Part ? says : QString();
    if (role == Qt::ToolTipRole) return says;
    if (role != Qt::DisplayRole) return {};
    switch (index.column()) {
        case Part: return row.name;
        case Value: return row.value.known() || !row.result ? value_text(row.value) : QStringLiteral("not known");
        case Says: return says;
        default: return {};
    }
}

QVariant PartsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"Merged from", "Value", "Says"};
    return QString::fromLatin1(names[section]);
}

}  // namespace vmxscope::ui
