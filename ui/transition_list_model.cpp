#include "ui/transition_list_model.h"

#include <QTimer>
#include <algorithm>
#include <limits>

#include "ui/roles.h"
#include "ui/text.h"
#include "ui/verdict_text.h"

namespace vmxscope::ui {

using core::trace::Digest;

namespace {

constexpr std::uint64_t kMostRows = std::numeric_limits<int>::max();

/// As far as a digest tells it.
std::optional<nested::Verdict> verdict_of(const Digest& d) {
    if (!d.has_verdict) return std::nullopt;
    nested::Verdict v;
    v.did = d.did;
    v.by_rule = d.by_rule;
    v.by_evidence = d.by_evidence;
    v.vmcs12 = d.vmcs12;
    v.vmcs02 = d.vmcs02;
    v.alarm = d.alarm;
    v.agree = d.agree;
    return v;
}

nested::ExitInfo exit_of(const Digest& d) {
    nested::ExitInfo exit;
    if (d.has_reason) exit.reason = vmx::Value::of(d.reason);
    return exit;
}

}  // namespace

TransitionListModel::TransitionListModel(QObject* parent) : QAbstractTableModel(parent) {}

void TransitionListModel::reset(const Runs& rows, bool filtered) {
    beginResetModel();
    runs_ = rows;
    filtered_ = filtered;
    asked_.clear();
    looked_at_.clear();
    digests_.clear();
    endResetModel();
}

void TransitionListModel::append(const Runs& more) {
    const std::uint64_t have = runs_.count(), all = std::min(have + more.count(), kMostRows);
    if (all <= have) return;
    beginInsertRows({}, static_cast<int>(have), static_cast<int>(all) - 1);
    runs_.add(more);
    asked_.erase(static_cast<int>(have / kPage));  // it was asked for when it was shorter
    endInsertRows();
}

void TransitionListModel::drop_before(quint64 seq) {
    const std::uint64_t gone = std::min(runs_.rows_before(seq), kMostRows);
    if (gone == 0) return;
    beginRemoveRows({}, 0, static_cast<int>(gone) - 1);
    runs_.drop_before(seq);
    asked_.clear();
    endRemoveRows();
}

void TransitionListModel::take(const Digests& digests) {
    if (digests.empty()) return;
    if (digests_.size() + digests.size() > kMostDigests) {
        digests_.clear();
        asked_.clear();
    }
    for (const Digest& d : digests) digests_.insert_or_assign(d.seq, d);
    const auto from = runs_.rows_before(digests.front().seq), to = runs_.rows_before(digests.back().seq + 1);
    if (to > from)
        emit dataChanged(index(static_cast<int>(from), 0), index(static_cast<int>(to) - 1, kColumnCount - 1));
}

void TransitionListModel::set_bookmarks(const std::vector<quint64>& seqs) {
    bookmarks_ = {seqs.begin(), seqs.end()};
    if (rowCount() > 0) emit dataChanged(index(0, Seq), index(rowCount() - 1, Seq));
}

int TransitionListModel::row_of(quint64 seq) const {
    const auto row = runs_.row_of(seq);
    return row ? static_cast<int>(*row) : -1;
}

int TransitionListModel::neighbour(quint64 seq, int steps) const {
    if (rowCount() == 0) return -1;
    const auto before = static_cast<qint64>(runs_.rows_before(seq));
    const bool here = row_of(seq) >= 0;
    const qint64 row = here || steps < 0 ? before + steps : before + steps - 1;
    return row < 0 || row >= rowCount() ? -1 : static_cast<int>(row);
}

int TransitionListModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(std::min(runs_.count(), kMostRows));
}

int TransitionListModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

const Digest* TransitionListModel::digest(int row) const {
    const auto found = digests_.find(seq_at(row));
    if (found != digests_.end()) return &found->second;
    const int page = row / kPage;
    if (!asked_.contains(page)) {
        if (looked_at_.empty())  // what one look at the list wants is asked for together, once it is over
            QTimer::singleShot(0, this, [self = const_cast<TransitionListModel*>(this)] { self->ask(); });
        looked_at_.insert(page);
    }
    return nullptr;
}

void TransitionListModel::ask() {
    for (const int page : std::exchange(looked_at_, {})) {
        asked_.insert(page);
        const Runs rows = runs_.slice(static_cast<quint64>(page) * kPage, kPage);
        if (!rows.empty()) emit wanted(rows);
    }
}

bool TransitionListModel::gap_before(int row, const Digest& d) const {
    return d.lost_before > 0 || (!filtered_ && row > 0 && seq_at(row - 1) + 1 != d.seq);
}

QString TransitionListModel::text(int row, int column) const {
    const quint64 seq = seq_at(row);
    if (column == Seq) return bookmarks_.contains(seq) ? QStringLiteral("⚐ %1").arg(seq) : QString::number(seq);
    const Digest* d = digest(row);
    if (!d) return column == Kind ? QStringLiteral("…") : QString();
    switch (column) {
        case Vcpu: return QString::number(d->vcpu);
        case Kind: return qs(nested::name_of(d->kind));
        case Levels: return levels_text(d->kind);
        case Reason: return d->has_reason ? exit_reason_name(exit_of(*d)) : QStringLiteral("–");
        case Pdptr: return d->has_verdict ? verdict_cell(*verdict_of(*d)) : QString();
        default: return {};
    }
}

QString TransitionListModel::tool_tip(int row, int column) const {
    const Digest* d = digest(row);
    if (!d) return {};
    QStringList lines;
    if (column == Pdptr && d->has_verdict) lines << verdict_line(*verdict_of(*d));
    if (column == Reason) lines << exit_reason_text(exit_of(*d));
    if (!filtered_ && row > 0 && seq_at(row - 1) + 1 != d->seq)
        lines << QStringLiteral("Not kept: %1 before this one.")
                     .arg(counted(d->seq - seq_at(row - 1) - 1, QStringLiteral("transition")));
    if (d->lost_before > 0)
        lines << QStringLiteral("Lost for want of room just before this one: %1.")
                     .arg(counted(d->lost_before, QStringLiteral("record")));
    if (d->findings > 0) lines << QStringLiteral("⚑ %1").arg(counted(d->findings, QStringLiteral("finding")));
    lines.removeAll(QString());
    return lines.join(QLatin1Char('\n'));
}

QVariant TransitionListModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const int row = index.row();
    switch (role) {
        case Qt::DisplayRole: return text(row, index.column());
        case Qt::ToolTipRole: return tool_tip(row, index.column());
        case Qt::TextAlignmentRole:
            if (index.column() == Seq || index.column() == Vcpu) return QVariant(Qt::AlignRight | Qt::AlignVCenter);
            return {};
        case SeqRole: return seq_at(row);
        default: break;
    }
    const Digest* d = role >= Qt::UserRole ? digest(row) : nullptr;
    if (!d) return {};
    const auto verdict = verdict_of(*d);
    switch (role) {
        case VcpuRole: return QVariant::fromValue<quint32>(d->vcpu);
        case KindRole: return static_cast<int>(d->kind);
        case GapRole: return index.column() == Seq && gap_before(row, *d);
        case UndefinedRole: return verdict && any_undefined(*verdict);
        case MarkRole:
            if (index.column() != Pdptr || !verdict) return static_cast<int>(Mark::None);
            return static_cast<int>(verdict->alarm ? Mark::Alarm : mark_of(verdict->did));
        default: return {};
    }
}

QVariant TransitionListModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole) return {};
    static constexpr const char* names[] = {"#", "vCPU", "Transition", "From → to", "PDPTRs", "Exit reason"};
    return section >= 0 && section < kColumnCount ? QString::fromUtf8(names[section]) : QVariant();
}

}  // namespace vmxscope::ui
