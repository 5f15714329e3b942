#include "ui/findings_model.h"

#include <algorithm>

#include "nested/flow_text.h"
#include "ui/roles.h"
#include "ui/text.h"

namespace vmxscope::ui {

void FindingsModel::add(const QList<TransitionPtr>& transitions, quint64 without) {
    examined_ += without;
    for (const TransitionPtr& t : transitions)
        if (nested::direction_of(t->kind) && seen_.insert(t->seq).second) insert(t);
    emit counts_changed();
}

void FindingsModel::insert(const TransitionPtr& transition) {
    ++examined_;
    const nested::Flow flow = nested::flow_of(*transition);
    found_ += flow.findings.size();
    const std::size_t count = std::min(flow.findings.size(), kMaxKept - rows_.size());
    if (count == 0) return;
    const auto place = std::upper_bound(rows_.begin(), rows_.end(), transition->seq,
                                        [](std::uint64_t seq, const Row& row) { return seq < row.transition->seq; });
    const int at = static_cast<int>(place - rows_.begin());
    beginInsertRows({}, at, at + static_cast<int>(count) - 1);
    std::vector<Row> fresh;
    for (std::size_t i = 0; i < count; ++i)
        fresh.push_back({transition, flow.findings[i], qs(nested::finding_text(*transition, flow, flow.findings[i]))});
    rows_.insert(place, fresh.begin(), fresh.end());
    endInsertRows();
}

void FindingsModel::clear() {
    beginResetModel();
    rows_.clear();
    seen_.clear();
    examined_ = found_ = 0;
    endResetModel();
    emit counts_changed();
}

int FindingsModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}
int FindingsModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant FindingsModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const Row& row = rows_[static_cast<size_t>(index.row())];
    const QString name = qs(vmx::name_of(row.finding.field));
    if (role == SeqRole) return quint64{row.transition->seq};
    if (role == FieldRole) return static_cast<int>(*vmx::index_of(row.finding.field));
    if (role == DetailRole && index.column() == FieldName) return row.sentence;
    if (role == Qt::ToolTipRole)
        return QStringLiteral("%1: %2 %3\n%4")
            .arg(headline(*row.transition), name, qs(nested::name_of(row.finding.what)), row.sentence);
    if (role != Qt::DisplayRole) return {};
    switch (index.column()) {
        case Seq: return QStringLiteral("#%1").arg(row.transition->seq);
        case FieldName: return name;
        case Sentence: return row.sentence;
        default: return {};
    }
}

QVariant FindingsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"At", "Field", "What"};
    return QString::fromLatin1(names[section]);
}

}  // namespace vmxscope::ui
