#include "ui/notes_panel.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QTableWidget>
#include <QVBoxLayout>

#include "core/bookmarks.h"
#include "ui/labels.h"
#include "ui/palette.h"
#include "ui/text.h"

namespace vmxscope::ui {

NotesPanel::NotesPanel(QWidget* parent)
    : QWidget(parent),
      empty_(
          wrapped_label(this, QStringLiteral("No bookmark yet. Ctrl+B sets one at the shown transition; they are kept "
                                             "beside the trace."))),
      table_(new QTableWidget(0, 2, this)),
      line_(new QLineEdit(this)),
      set_(new QPushButton(QStringLiteral("Bookmark"), this)),
      remove_(new QPushButton(QStringLiteral("Remove"), this)) {
    table_->setHorizontalHeaderLabels({QStringLiteral("#"), QStringLiteral("Note")});
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setSelectionMode(QAbstractItemView::SingleSelection);
    table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
    table_->setShowGrid(false);
    table_->setAccessibleName(QStringLiteral("Bookmarks"));
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 6);
    table_->horizontalHeader()->setStretchLastSection(true);
    table_->horizontalHeader()->setHighlightSections(false);
    table_->horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    line_->setMaxLength(static_cast<int>(core::Bookmarks::kLongestNote) / 4);
    auto* buttons = new QHBoxLayout;
    buttons->addWidget(line_, 1);
    buttons->addWidget(set_);
    buttons->addWidget(remove_);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 8);
    layout->addWidget(empty_);
    layout->addWidget(table_, 1);
    layout->addLayout(buttons);
    const auto set = [this] {
        if (shown_) emit set_asked(shown_, line_->text().trimmed());
    };
    connect(set_, &QPushButton::clicked, this, set);
    connect(line_, &QLineEdit::returnPressed, this, set);
    connect(remove_, &QPushButton::clicked, this, [this] {
        if (const quint64 seq = selected()) emit remove_asked(seq);
    });
    const auto go = [this](int row, int) { emit picked(table_->item(row, 0)->data(Qt::UserRole).toULongLong()); };
    connect(table_, &QTableWidget::cellDoubleClicked, this, go);
    connect(table_, &QTableWidget::cellActivated, this, go);
    connect(table_, &QTableWidget::itemSelectionChanged, this, [this] { remove_->setEnabled(selected() != 0); });
    show_notes({});
    refill_line();
    recolour();
}

quint64 NotesPanel::selected() const {
    const auto items = table_->selectedItems();
    return items.isEmpty() ? 0 : table_->item(items.first()->row(), 0)->data(Qt::UserRole).toULongLong();
}

void NotesPanel::show_notes(const Notes& notes) {
    notes_ = notes;
    table_->setRowCount(static_cast<int>(notes.size()));
    int row = 0;
    for (const auto& [seq, note] : notes) {
        auto* number = new QTableWidgetItem(QStringLiteral("⚐ %1").arg(seq));
        number->setData(Qt::UserRole, quint64{seq});
        table_->setItem(row, 0, number);
        auto* text = new QTableWidgetItem(qs(note));
        text->setToolTip(qs(note));
        table_->setItem(row, 1, text);
        if (seq == shown_) table_->selectRow(row);
        ++row;
    }
    table_->setVisible(!notes.empty());
    empty_->setVisible(notes.empty());
    remove_->setEnabled(selected() != 0);
    if (auto* box = layout()) box->setAlignment(empty_, notes.empty() ? Qt::AlignTop : Qt::Alignment());
    refill_line();
}

void NotesPanel::show_shown(const ShownPtr& shown) {
    shown_ = shown && !shown->dump ? shown->transition->seq : 0;
    refill_line();
}

void NotesPanel::refill_line() {
    const auto note = notes_.find(shown_);
    line_->setEnabled(shown_ != 0);
    set_->setEnabled(shown_ != 0);
    line_->setText(note == notes_.end() ? QString() : qs(note->second));
    line_->setPlaceholderText(shown_ ? QStringLiteral("A note on #%1").arg(shown_) : QString());
    set_->setText(note == notes_.end() ? QStringLiteral("Bookmark") : QStringLiteral("Change"));
}

void NotesPanel::toggle() {
    if (shown_ == 0) return;
    if (notes_.contains(shown_))
        emit remove_asked(shown_);
    else
        emit set_asked(shown_, {});
}

void NotesPanel::edit() {
    line_->setFocus(Qt::ShortcutFocusReason);
}

void NotesPanel::recolour() {
    set_text_colour(empty_, colors().muted());
}

}  // namespace vmxscope::ui
