// Every finding of the session: where rule, evidence and values contradict each other.
#pragma once

#include <QAbstractTableModel>
#include <set>
#include <vector>

#include "nested/flow.h"
#include "ui/transition_list_model.h"

namespace vmxscope::ui {

class FindingsModel : public QAbstractTableModel {
    Q_OBJECT

  public:
    enum Column { Seq, FieldName, Sentence, kColumnCount };
    /// Beyond this many they are only counted.
    static constexpr std::size_t kMaxKept = 10'000;
    using QAbstractTableModel::QAbstractTableModel;

    /// A transition that came before is passed by. They may come in any order. `without`: so many more nested entries
    /// and exits were looked at, and had none.
    void add(const QList<TransitionPtr>& transitions, quint64 without = 0);
    void clear();

    /// Nested entries and exits looked at, and how many findings there were; both since clear().
    quint64 examined() const { return examined_; }
    quint64 found() const { return found_; }
    const TransitionPtr& transition_at(int row) const { return rows_[static_cast<size_t>(row)].transition; }
    const nested::Finding& finding_at(int row) const { return rows_[static_cast<size_t>(row)].finding; }

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  signals:
    void counts_changed();

  private:
    struct Row {
        TransitionPtr transition;
        nested::Finding finding;
        QString sentence;
    };
    void insert(const TransitionPtr& transition);

    std::vector<Row> rows_;  // by number
    std::set<quint64> seen_;
    quint64 examined_ = 0, found_ = 0;
};

}  // namespace vmxscope::ui
