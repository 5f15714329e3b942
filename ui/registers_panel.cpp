#include "ui/registers_panel.h"

#include <QFontDatabase>
#include <QHeaderView>
#include <QLabel>
#include <QTableWidget>
#include <QVBoxLayout>

#include "ui/labels.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr int kColumns = 3;  // pairs of name and value beside each other

/// The register as a number: its bytes come in the target's order, the lowest first.
QString number(const std::vector<std::byte>& bytes) {
    if (bytes.empty()) return QStringLiteral("not available");
    QString text = QStringLiteral("0x");
    for (auto b = bytes.rbegin(); b != bytes.rend(); ++b)
        text += QStringLiteral("%1").arg(std::to_integer<unsigned>(*b), 2, 16, QLatin1Char('0'));
    return text;
}

}  // namespace

RegistersPanel::RegistersPanel(QWidget* parent)
    : QWidget(parent), head_(caption_label(this)), notes_(wrapped_label(this)), table_(new QTableWidget(0, 2 * kColumns, this)) {
    table_->setAccessibleName(QStringLiteral("General registers"));
    table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
    table_->setShowGrid(false);
    table_->verticalHeader()->hide();
    table_->horizontalHeader()->hide();
    table_->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    table_->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(16, 16, 16, 16);
    layout->addWidget(head_);
    layout->addWidget(notes_);
    layout->addWidget(table_, 1);
}

void RegistersPanel::set_notes(const std::vector<std::string>& notes) {
    QStringList lines;
    for (const std::string& note : notes) lines << qs(note);
    say(notes_, lines.join(QLatin1Char('\n')));
    before_.clear();
    show_running();
}

void RegistersPanel::show_running() {
    head_->setText(QStringLiteral("The guest runs. Interrupt it to see its registers."));
    table_->setEnabled(false);
}

void RegistersPanel::show_registers(const Registers& registers) {
    head_->setText(registers.error.isEmpty()
                       ? QStringLiteral("vCPU %1, before the instruction at rip").arg(registers.vcpu)
                       : registers.error);
    table_->setEnabled(true);
    auto& before = before_[registers.vcpu];
    const int count = static_cast<int>(registers.all.size()), rows = (count + kColumns - 1) / kColumns;
    table_->setRowCount(rows);
    for (int i = 0; i < rows * kColumns; ++i) {
        const int row = i % rows, column = 2 * (i / rows);
        auto* name = new QTableWidgetItem;
        auto* value = new QTableWidgetItem;
        if (i < count) {
            const core::RegisterBytes& r = registers.all[static_cast<std::size_t>(i)];
            name->setText(qs(r.name));
            value->setText(number(r.bytes));
            const auto old = before.find(r.name);
            QFont font = table_->font();
            font.setBold(old != before.end() && old->second != r.bytes);
            value->setFont(font);
            before[r.name] = r.bytes;
        }
        table_->setItem(row, column, name);
        table_->setItem(row, column + 1, value);
    }
}

QString RegistersPanel::value_of(const QString& name) const {
    for (QTableWidgetItem* item : table_->findItems(name, Qt::MatchExactly))
        if (item->column() % 2 == 0) return table_->item(item->row(), item->column() + 1)->text();
    return {};
}

}  // namespace vmxscope::ui
