#include "ui/transition_list_model.h"

#include <algorithm>

#include "ui/roles.h"
#include "ui/text.h"
#include "ui/verdict_text.h"

namespace vmxscope::ui {

void TransitionListModel::add(const QList<TransitionPtr>& transitions) {
    for (const TransitionPtr& t : transitions) insert(t);
    trim();
}

void TransitionListModel::insert(const TransitionPtr& transition) {
    const auto before = [](const Row& a, const Row& b) {
        return std::pair(a.connection, a.transition->seq) < std::pair(b.connection, b.transition->seq);
    };
    Row row{connection_, transition, nested::pdptr_verdict(*transition)};
    const auto place = std::lower_bound(rows_.begin(), rows_.end(), row, before);
    if (place != rows_.end() && !before(row, *place)) return;
    const int at = static_cast<int>(place - rows_.begin());
    beginInsertRows({}, at, at);
    rows_.insert(place, std::move(row));
    endInsertRows();
    // The gap before the next row may be closed now.
    if (at + 1 < rowCount()) emit dataChanged(index(at + 1, Seq), index(at + 1, Seq), {GapRole, Qt::ToolTipRole});
}

void TransitionListModel::trim() {
    const int surplus = rowCount() - kMaxKept;
    if (surplus <= 0) return;
    beginRemoveRows({}, 0, surplus - 1);
    rows_.erase(rows_.begin(), rows_.begin() + surplus);
    let_go_ += static_cast<quint64>(surplus);
    endRemoveRows();
}

void TransitionListModel::begin_connection() {
    ++connection_;
    if (!rows_.empty()) emit dataChanged(index(0, 0), index(rowCount() - 1, kColumnCount - 1), {EarlierRole});
}

void TransitionListModel::clear() {
    beginResetModel();
    rows_.clear();
    let_go_ = 0;
    endResetModel();
}

bool TransitionListModel::same_run(const Row& a, const Row& b) const {
    return a.connection == b.connection && a.transition->vcpu == b.transition->vcpu;
}

int TransitionListModel::row_of(quint64 seq) const {
    const auto found = std::lower_bound(rows_.begin(), rows_.end(), std::pair(connection_, seq),
                                        [](const Row& row, const std::pair<int, quint64>& key) {
                                            return std::pair<int, quint64>(row.connection, row.transition->seq) < key;
                                        });
    const bool here = found != rows_.end() && found->connection == connection_ && found->transition->seq == seq;
    return here ? static_cast<int>(found - rows_.begin()) : -1;
}

int TransitionListModel::row_of(const TransitionPtr& transition) const {
    const auto found =
        std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return row.transition == transition; });
    return found == rows_.end() ? -1 : static_cast<int>(found - rows_.begin());
}

int TransitionListModel::verdict_row_for(int row) const {
    for (int at = row; at >= 0; --at)
        if (verdict_at(at) && same_run(rows_[static_cast<size_t>(at)], rows_[static_cast<size_t>(row)])) return at;
    return -1;
}

int TransitionListModel::previous_row(int row) const {
    for (int at = row - 1; at >= 0; --at)
        if (same_run(rows_[static_cast<size_t>(at)], rows_[static_cast<size_t>(row)])) return at;
    return -1;
}

quint64 TransitionListModel::missing_before(int row) const {
    const Row& self = rows_[static_cast<size_t>(row)];
    if (row == 0) return 0;
    const Row& other = rows_[static_cast<size_t>(row) - 1];
    return self.connection == other.connection ? self.transition->seq - other.transition->seq - 1 : 0;
}

quint64 TransitionListModel::missing_between(int from, int to) const {
    quint64 missing = 0;
    for (int row = from + 1; row <= to; ++row) missing += missing_before(row);
    return missing;
}

int TransitionListModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}

int TransitionListModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QString TransitionListModel::text(int row, int column) const {
    const nested::Transition& t = *at(row);
    switch (column) {
        case Seq: return QString::number(t.seq);
        case Vcpu: return QString::number(t.vcpu);
        case Kind: return qs(nested::name_of(t.kind));
        case Levels: return levels_text(t.kind);
        case Reason: return t.exit.reason.known() ? exit_reason_name(t.exit) : QStringLiteral("–");
        case Pdptr: return verdict_at(row) ? verdict_cell(*verdict_at(row)) : QString();
        default: return {};
    }
}

QString TransitionListModel::tool_tip(int row, int column) const {
    const Row& r = rows_[static_cast<size_t>(row)];
    QStringList lines;
    if (column == Pdptr && r.verdict) lines << verdict_line(*r.verdict) << qs(r.verdict->reason);
    if (column == Reason) lines << exit_reason_text(r.transition->exit);
    if (const quint64 missing = missing_before(row))
        lines << QStringLiteral("Not in the list: %1 before this one, lost or not fetched.")
                     .arg(counted(missing, QStringLiteral("transition")));
    if (r.transition->lost_before > 0)
        lines << QStringLiteral("Lost for want of room just before this one: %1.")
                     .arg(counted(r.transition->lost_before, QStringLiteral("record")));
    if (r.connection != connection_) lines << QStringLiteral("Seen on an earlier connection.");
    lines.removeAll(QString());
    return lines.join(QLatin1Char('\n'));
}

QVariant TransitionListModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const Row& row = rows_[static_cast<size_t>(index.row())];
    switch (role) {
        case Qt::DisplayRole: return text(index.row(), index.column());
        case Qt::ToolTipRole: return tool_tip(index.row(), index.column());
        case Qt::TextAlignmentRole:
            if (index.column() == Seq || index.column() == Vcpu) return QVariant(Qt::AlignRight | Qt::AlignVCenter);
            return {};
        case SeqRole: return QVariant::fromValue<quint64>(row.transition->seq);
        case VcpuRole: return QVariant::fromValue<quint32>(row.transition->vcpu);
        case KindRole: return static_cast<int>(row.transition->kind);
        case GapRole:
            return index.column() == Seq && (missing_before(index.row()) > 0 || row.transition->lost_before > 0);
        case EarlierRole: return row.connection != connection_;
        case UndefinedRole: return row.verdict && any_undefined(*row.verdict);
        case MarkRole:
            if (index.column() != Pdptr || !row.verdict) return static_cast<int>(Mark::None);
            return static_cast<int>(row.verdict->alarm ? Mark::Alarm : mark_of(row.verdict->did));
        default: return {};
    }
}

QVariant TransitionListModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole) return {};
    static constexpr const char* names[] = {"#", "vCPU", "Transition", "From → to", "PDPTRs", "Exit reason"};
    return section >= 0 && section < kColumnCount ? QString::fromUtf8(names[section]) : QVariant();
}

void TransitionFilter::set_text(const QString& text) {
    text_ = text.trimmed();
    invalidateFilter();
}

void TransitionFilter::set_show(Show show) {
    show_ = show;
    invalidateFilter();
}

bool TransitionFilter::filterAcceptsRow(int row, const QModelIndex& parent) const {
    const QModelIndex pdptr = sourceModel()->index(row, TransitionListModel::Pdptr, parent);
    if (show_ == Show::WithVerdict && pdptr.data().toString().isEmpty()) return false;
    if (show_ == Show::Undefined && !pdptr.data(UndefinedRole).toBool()) return false;
    if (text_.isEmpty()) return true;
    for (int column = 0; column < sourceModel()->columnCount(parent); ++column)
        if (sourceModel()->index(row, column, parent).data().toString().contains(text_, Qt::CaseInsensitive))
            return true;
    return false;
}

}  // namespace vmxscope::ui
