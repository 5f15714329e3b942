#include "ui/field_history_model.h"

#include <algorithm>

#include "ui/roles.h"
#include "ui/text.h"

namespace vmxscope::ui {

void FieldHistoryModel::show(const FieldChanges& changes) {
    beginResetModel();
    changes_ = changes;
    endResetModel();
}

int FieldHistoryModel::row_at(quint64 seq) const {
    const auto after = std::upper_bound(changes_.rows.begin(), changes_.rows.end(), seq,
                                        [](quint64 wanted, const auto& row) { return wanted < row.change.seq; });
    return static_cast<int>(after - changes_.rows.begin()) - 1;
}

int FieldHistoryModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(changes_.rows.size());
}
int FieldHistoryModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant FieldHistoryModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const FieldChanges::Row& row = changes_.rows[static_cast<size_t>(index.row())];
    const core::FieldChange& c = row.change;
    if (role == SeqRole) return quint64{c.seq};
    if (role == FigureRole) return index.column() == Value;
    if (role == Qt::TextAlignmentRole && index.column() == Seq) return QVariant(Qt::AlignRight | Qt::AlignVCenter);
    if (role == Qt::ToolTipRole)
        return QStringLiteral("#%1: %2 → %3\n%4").arg(c.seq).arg(value_text(c.before), value_text(c.after), qs(c.who));
    if (role != Qt::DisplayRole) return {};
    switch (index.column()) {
        case Seq: return QString::number(c.seq);
        case Kind: return qs(nested::name_of(c.kind));
        case Vmcs: return row.vmcs == core::Which::Vmcs12 ? QStringLiteral("vmcs12") : QStringLiteral("vmcs02");
        case Value: return value_text(c.after);
        case Who: return qs(c.who);
        default: return {};
    }
}

QVariant FieldHistoryModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"#", "Transition", "VMCS", "Became", "Who"};
    return QString::fromLatin1(names[section]);
}

void DifferenceModel::show(const StateDifferences& differences) {
    beginResetModel();
    differences_ = differences;
    endResetModel();
}

int DifferenceModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(differences_.rows.size());
}
int DifferenceModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant DifferenceModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const core::Difference& d = differences_.rows[static_cast<size_t>(index.row())];
    const vmx::Value& value = index.column() == A ? d.a : d.b;
    if (role == FigureRole) return index.column() != Name;
    if (role == StateRole && index.column() != Name) return static_cast<int>(value.state);
    if (role != Qt::DisplayRole && role != Qt::ToolTipRole) return {};
    return index.column() == Name ? qs(d.name) : value_text(value);
}

QVariant DifferenceModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole) return {};
    switch (section) {
        case Name: return QStringLiteral("What");
        case A: return QStringLiteral("at #%1").arg(differences_.a);
        case B: return QStringLiteral("at #%1").arg(differences_.b);
        default: return {};
    }
}

}  // namespace vmxscope::ui
