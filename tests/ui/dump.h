// A model as text, one line a row, so that a test can say what a view would show.
#pragma once

#include <QAbstractItemModel>
#include <string>

namespace vmxscope::ui::test {

/// "a | b | c": the display texts of a row, with "~" before those with `mark_role` true (-1: no marks).
inline std::string row_text(const QAbstractItemModel& model, int row, const QModelIndex& parent = {},
                            int mark_role = -1) {
    QStringList cells;
    for (int column = 0; column < model.columnCount(parent); ++column) {
        const QModelIndex at = model.index(row, column, parent);
        const bool marked = mark_role >= 0 && at.data(mark_role).toBool();
        cells << (marked ? QStringLiteral("~") : QString()) + at.data().toString();
    }
    return cells.join(QStringLiteral(" | ")).toStdString();
}

inline std::string dump(const QAbstractItemModel& model, int mark_role = -1) {
    std::string text;
    for (int row = 0; row < model.rowCount(); ++row) text += row_text(model, row, {}, mark_role) + "\n";
    return text;
}

}  // namespace vmxscope::ui::test
