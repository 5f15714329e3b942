#include "ui/memory_panel.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QScrollArea>
#include <QTableView>
#include <QVBoxLayout>

#include "ui/cell_delegate.h"
#include "ui/fitted_table.h"
#include "ui/labels.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr const char* kHeldOnly = "Memory can be read while the guest is held.";

std::optional<quint64> address_in(const QLineEdit* line) {
    bool good = false;
    const quint64 address = line->text().trimmed().toULongLong(&good, 16);
    return good ? std::optional(address) : std::nullopt;
}

QLineEdit* address_line(QWidget* parent, const char* name) {
    auto* line = new QLineEdit(parent);
    line->setFont(CellDelegate::figure_font(line->font()));
    line->setPlaceholderText(QStringLiteral("hexadecimal address"));
    line->setAccessibleName(QString::fromLatin1(name));
    return line;
}

}  // namespace

MemoryPanel::MemoryPanel(Session& session, QWidget* parent) : QWidget(parent), session_(session) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 8);
    layout->setSpacing(6);
    layout->addWidget(make_reader(), 1);
    layout->addWidget(make_walker(), 1);
    connect(&session_, &Session::memory, this, &MemoryPanel::on_memory);
    connect(&session_, &Session::walked, this, &MemoryPanel::on_walked);
    connect(&session_, &Session::state_changed, this, &MemoryPanel::update_state);
    update_state();
}

QWidget* MemoryPanel::make_reader() {
    auto* box = new QWidget(this);
    space_ = new QComboBox(box);
    space_->addItem(QStringLiteral("L2 physical"), static_cast<int>(core::Space::L2Physical));
    space_->addItem(QStringLiteral("L2 linear"), static_cast<int>(core::Space::L2Linear));
    space_->addItem(QStringLiteral("L1 physical"), static_cast<int>(core::Space::L1Physical));
    space_->addItem(QStringLiteral("L1 linear"), static_cast<int>(core::Space::L1Linear));
    space_->setToolTip(QStringLiteral("Whose addresses"));
    address_ = address_line(box, "Address to read at");
    size_ = new QComboBox(box);
    for (const int size : {64, 256, 1024, 4096}) size_->addItem(QStringLiteral("%1 B").arg(size), size);
    size_->setCurrentIndex(1);
    read_ = new QPushButton(QStringLiteral("Read"), box);
    read_text_ = wrapped_label(box);
    bytes_ = new QTableView(box);
    bytes_->setModel(&hex_);
    bytes_->setItemDelegate(new CellDelegate(bytes_));
    bytes_->setShowGrid(false);
    bytes_->verticalHeader()->hide();
    bytes_->verticalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    bytes_->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    bytes_->horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    bytes_->setSelectionBehavior(QAbstractItemView::SelectRows);
    bytes_->setAccessibleName(QStringLiteral("Bytes"));
    auto* line = new QHBoxLayout;
    line->addWidget(space_);
    line->addWidget(address_, 1);
    line->addWidget(size_);
    line->addWidget(read_);
    auto* layout = new QVBoxLayout(box);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addLayout(line);
    layout->addWidget(read_text_);
    layout->addWidget(bytes_, 1);
    connect(read_, &QPushButton::clicked, this, &MemoryPanel::ask_read);
    connect(address_, &QLineEdit::returnPressed, this, &MemoryPanel::ask_read);
    return box;
}

QWidget* MemoryPanel::make_walker() {
    auto* box = new QWidget(this);
    l2_physical_ = address_line(box, "L2's physical address to walk");
    walk_button_ = new QPushButton(QStringLiteral("Walk EPT"), box);
    walk_button_->setToolTip(
        QStringLiteral("What L2's physical address becomes in L1's EPT (EPT12), and in L0's (EPT02)"));
    walk_text_ = wrapped_label(box);
    walk_table_ = new FittedTable(&walk_, box);
    walk_table_->verticalHeader()->hide();
    walk_table_->horizontalHeader()->setSectionResizeMode(QHeaderView::Stretch);
    walk_table_->horizontalHeader()->setSectionResizeMode(WalkModel::Level, QHeaderView::ResizeToContents);
    walk_table_->setAccessibleName(QStringLiteral("EPT walks"));
    auto* line = new QHBoxLayout;
    line->addWidget(new QLabel(QStringLiteral("L2 physical"), box));
    line->addWidget(l2_physical_, 1);
    line->addWidget(walk_button_);
    auto* inside = new QWidget(box);
    auto* stack = new QVBoxLayout(inside);
    stack->setContentsMargins(0, 0, 0, 0);
    stack->addWidget(walk_text_);
    stack->addWidget(walk_table_);
    stack->addStretch(1);
    auto* scroll = new QScrollArea(box);
    scroll->setWidget(inside);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    auto* layout = new QVBoxLayout(box);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addLayout(line);
    layout->addWidget(scroll, 1);
    walk_table_->hide();
    connect(walk_button_, &QPushButton::clicked, this, &MemoryPanel::ask_walk);
    connect(l2_physical_, &QLineEdit::returnPressed, this, &MemoryPanel::ask_walk);
    return box;
}

std::optional<std::uint32_t> MemoryPanel::vcpu() const {
    if (shown_ && !shown_->dump) return shown_->transition->vcpu;
    if (session_.vcpus().isEmpty()) return std::nullopt;
    return session_.vcpus().first().id;
}

void MemoryPanel::read(core::Space space, quint64 address) {
    space_->setCurrentIndex(space_->findData(static_cast<int>(space)));
    address_->setText(hex(address));
    ask_read();
}

void MemoryPanel::walk(quint64 l2_physical) {
    l2_physical_->setText(hex(l2_physical));
    ask_walk();
}

void MemoryPanel::ask_read() {
    const auto address = address_in(address_);
    if (session_.state() != Session::State::Held || !vcpu()) return say(read_text_, QString::fromLatin1(kHeldOnly));
    if (!address) return say(read_text_, QStringLiteral("“%1” is no hexadecimal address.").arg(address_->text()));
    say(read_text_, QStringLiteral("reading …"));
    wanted_memory_ = session_.read_memory({0, *vcpu(), static_cast<core::Space>(space_->currentData().toInt()),
                                           *address, static_cast<std::size_t>(size_->currentData().toInt())});
}

void MemoryPanel::on_memory(const MemoryAnswer& answer) {
    if (answer.request.id != wanted_memory_) return;
    say(read_text_, answer.error);
    hex_.show(answer.request.address, answer.bytes);
    bytes_->setVisible(!answer.bytes.empty());
}

void MemoryPanel::ask_walk() {
    const auto address = address_in(l2_physical_);
    if (session_.state() != Session::State::Held || !vcpu()) return say(walk_text_, QString::fromLatin1(kHeldOnly));
    if (!address) return say(walk_text_, QStringLiteral("“%1” is no hexadecimal address.").arg(l2_physical_->text()));
    say(walk_text_, QStringLiteral("walking …"));
    WalkRequest request{0, *vcpu(), *address, {}, {}};
    if (shown_ && !shown_->dump) {
        const nested::Transition& t = *shown_->transition;
        if (t.context.nested_ept != false) request.eptp12 = t.vmcs12_after[vmx::Field::EPT_POINTER];
        request.eptp02 = t.vmcs02_after[vmx::Field::EPT_POINTER];
    }
    wanted_walk_ = session_.walk(request);
}

void MemoryPanel::on_walked(const WalkAnswer& answer) {
    if (answer.request.id != wanted_walk_) return;
    QStringList errors;
    if (!answer.error12.isEmpty()) errors << QStringLiteral("EPT12: ") + answer.error12;
    if (!answer.error02.isEmpty()) errors << QStringLiteral("EPT02: ") + answer.error02;
    say(walk_text_, errors.join(QLatin1Char('\n')));
    walk_.show(answer);
    walk_table_->setVisible(walk_.rowCount() > 0);
}

void MemoryPanel::update_state() {
    const bool held = session_.state() == Session::State::Held;
    read_->setEnabled(held);
    walk_button_->setEnabled(held);
    if (!held && hex_.rowCount() == 0) bytes_->hide();
    if (hex_.rowCount() == 0) say(read_text_, held ? QString() : QString::fromLatin1(kHeldOnly));
}

QString MemoryPanel::read_text() const {
    return read_text_->text();
}
QString MemoryPanel::walk_text() const {
    return walk_text_->text();
}

}  // namespace vmxscope::ui
