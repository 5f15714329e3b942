// Bookmarks: transitions that somebody wants to find again, with a note on each.
#pragma once

#include <QWidget>
#include <map>

#include "ui/shown.h"

class QLabel;
class QLineEdit;
class QPushButton;
class QTableWidget;

namespace vmxscope::ui {

/// By the transition's number.
using Notes = std::map<std::uint64_t, std::string>;

class NotesPanel : public QWidget {
    Q_OBJECT

  public:
    explicit NotesPanel(QWidget* parent = nullptr);

    void show_notes(const Notes& notes);
    void show_shown(const ShownPtr& shown);
    /// Sets a bookmark at the shown transition, or takes it away.
    void toggle();
    /// Puts the cursor where the shown transition's note is written.
    void edit();
    const Notes& notes() const { return notes_; }
    QTableWidget* table() { return table_; }
    void recolour();

  signals:
    void set_asked(quint64 seq, const QString& note);
    void remove_asked(quint64 seq);
    void picked(quint64 seq);

  private:
    void refill_line();
    quint64 selected() const;

    Notes notes_;
    quint64 shown_ = 0;
    QLabel* empty_;
    QTableWidget* table_;
    QLineEdit* line_;
    QPushButton *set_, *remove_;
};

}  // namespace vmxscope::ui
