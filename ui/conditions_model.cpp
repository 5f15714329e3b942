#include "ui/conditions_model.h"

#include <algorithm>

#include "ui/roles.h"
#include "ui/text.h"
#include "ui/verdict_text.h"

namespace vmxscope::ui {

namespace {

Mark held_mark(const nested::Condition& c) {
    return !c.held ? Mark::Unknown : *c.held ? Mark::Agree : Mark::Disagree;
}

QString held_text(const nested::Condition& c) {
    if (!c.held && c.value != "not read") return QStringLiteral("– not asked");
    const char* word = !c.held ? "not known" : *c.held ? "yes" : "no";
    return glyph_of(held_mark(c)) + QLatin1Char(' ') + QString::fromLatin1(word);
}

}  // namespace

void ConditionsModel::show(std::vector<nested::Condition> conditions) {
    beginResetModel();
    conditions_ = std::move(conditions);
    endResetModel();
}

int ConditionsModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(conditions_.size());
}
int ConditionsModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant ConditionsModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const nested::Condition& c = conditions_[static_cast<size_t>(index.row())];
    if (role == Qt::ToolTipRole) return qs(c.meaning);
    if (role == DetailRole) return index.column() == Name ? qs(c.meaning) : QString();
    if (role == MarkRole) return static_cast<int>(index.column() == Held ? held_mark(c) : Mark::None);
    if (role == FigureRole) return index.column() == Name || index.column() == Value;
    if (role != Qt::DisplayRole) return {};
    switch (index.column()) {
        case Name: return qs(c.name);
        case Value: return qs(c.value);
        case Held: return held_text(c);
        case Meaning: return qs(c.meaning);
        default: return {};
    }
}

QVariant ConditionsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"Condition", "Value", "Held?", "Meaning"};
    return QString::fromLatin1(names[section]);
}

void EvidenceModel::show(TransitionPtr transition, std::span<const vmx::Field> fields) {
    beginResetModel();
    transition_ = std::move(transition);
    rows_.clear();
    for (std::size_t i = 0; transition_ && i < transition_->evidence.size(); ++i) {
        // Odd encodings are the high halves of the same 64-bit fields.
        const auto field = static_cast<vmx::Field>(transition_->evidence[i].encoding & ~1U);
        if (std::find(fields.begin(), fields.end(), field) != fields.end()) rows_.push_back(i);
    }
    endResetModel();
}

int EvidenceModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}
int EvidenceModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant EvidenceModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const nested::Evidence& e = transition_->evidence[rows_[static_cast<size_t>(index.row())]];
    if (role == FigureRole) return true;
    if (role == StateRole) return static_cast<int>(index.column() == Value ? e.value.state : vmx::Known::Yes);
    if (role == Qt::TextAlignmentRole && index.column() == Value) return QVariant(Qt::AlignRight | Qt::AlignVCenter);
    if (role == Qt::ToolTipRole && index.column() == At) return qs(e.at);
    if (role != Qt::DisplayRole) return {};
    switch (index.column()) {
        case Op: return QString::fromLatin1(e.op == nested::Evidence::Op::Vmread ? "VMREAD" : "VMWRITE");
        case Vmcs: return e.vmcs02 ? QStringLiteral("vmcs02") : QStringLiteral("vmcs01");
        case FieldName: {
            const auto name = vmx::name_of(static_cast<vmx::Field>(e.encoding));
            return name == "?" ? hex(e.encoding) : qs(name);
        }
        case Value: return value_text(e.value);
        case At: return qs(e.at);
        default: return {};
    }
}

QVariant EvidenceModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"Instruction", "VMCS", "Field", "Value", "At"};
    return QString::fromLatin1(names[section]);
}

}  // namespace vmxscope::ui
