// The list of transitions: as many rows as the past has, or as a filter lets through. Rows are told by digests, which
// are asked for where the list is looked at and come a little later; until then a row shows its number alone.
#pragma once

#include <QAbstractTableModel>
#include <QList>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/trace/digest.h"
#include "ui/runs.h"

namespace vmxscope::ui {

using TransitionPtr = std::shared_ptr<const nested::Transition>;
using Digests = std::vector<core::trace::Digest>;

class TransitionListModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Seq, Vcpu, Kind, Levels, Pdptr, Reason, kColumnCount };
    static constexpr int kPage = 128;                    // rows that are asked for at once
    static constexpr std::size_t kMostDigests = 65'536;  // kept at hand; 2 MiB

    explicit TransitionListModel(QObject* parent = nullptr);

    /// Begins anew with these; `filtered`: numbers that are not here are no gaps.
    void reset(const Runs& rows, bool filtered);
    void append(const Runs& more);
    /// The oldest are not kept any more.
    void drop_before(quint64 seq);
    void take(const Digests& digests);
    void set_bookmarks(const std::vector<quint64>& seqs);

    quint64 seq_at(int row) const { return runs_.at(static_cast<quint64>(row)); }
    /// -1: it is not in the list.
    int row_of(quint64 seq) const;
    /// The row `steps` further down (or up) than where `seq` is or would be; -1: there is none.
    int neighbour(quint64 seq, int steps) const;
    quint64 first() const { return runs_.first(); }
    quint64 last() const { return runs_.last(); }
    /// How many rows are beyond `seq`.
    quint64 rows_after(quint64 seq) const { return runs_.count() - runs_.rows_before(seq + 1); }

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  signals:
    /// take() is to be called with these.
    void wanted(const vmxscope::ui::Runs& rows);

  private:
    const core::trace::Digest* digest(int row) const;
    void ask();
    bool gap_before(int row, const core::trace::Digest& d) const;
    QString text(int row, int column) const;
    QString tool_tip(int row, int column) const;

    Runs runs_;
    bool filtered_ = false;
    std::unordered_map<quint64, core::trace::Digest> digests_;  // by number
    std::unordered_set<quint64> bookmarks_;
    mutable std::unordered_set<int> looked_at_, asked_;  // pages
};

}  // namespace vmxscope::ui

Q_DECLARE_METATYPE(vmxscope::ui::TransitionPtr)
