#include "ui/memory_model.h"

#include <algorithm>

#include "ui/roles.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

constexpr std::size_t kPerRow = 8;  // an entry of a paging structure; and it fits a narrow panel

vmx::EntryRules ept_rules() {
    vmx::EntryRules rules;
    rules.format = vmx::EntryFormat::Ept;
    return rules;
}

}  // namespace

void HexModel::show(quint64 address, std::vector<std::byte> bytes) {
    beginResetModel();
    address_ = address;
    bytes_ = std::move(bytes);
    endResetModel();
}

int HexModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>((bytes_.size() + kPerRow - 1) / kPerRow);
}
int HexModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

QVariant HexModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    if (role == FigureRole) return true;
    if (role != Qt::DisplayRole) return {};
    const std::size_t from = static_cast<std::size_t>(index.row()) * kPerRow;
    const std::size_t to = std::min(from + kPerRow, bytes_.size());
    if (index.column() == Address) return hex(address_ + from);
    QString line;
    for (std::size_t i = from; i < to; ++i) {
        const auto byte = std::to_integer<unsigned>(bytes_[i]);
        if (index.column() == Bytes)
            line +=
                (i == from ? QString() : QStringLiteral(" ")) + QStringLiteral("%1").arg(byte, 2, 16, QLatin1Char('0'));
        else
            line += byte >= 0x20 && byte < 0x7f ? QChar(byte) : QLatin1Char('.');
    }
    return line;
}

QVariant HexModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"Address", "Bytes", "Text"};
    return QString::fromLatin1(names[section]);
}

void WalkModel::show(WalkAnswer answer) {
    beginResetModel();
    answer_ = std::move(answer);
    levels_.clear();
    for (unsigned level = 5; level >= 1; --level)
        for (const auto* walk : {&answer_.ept12, &answer_.ept02})
            if (*walk &&
                std::any_of((*walk)->steps.begin(), (*walk)->steps.end(),
                            [&](const vmx::WalkStep& s) { return s.level == level; }) &&
                (levels_.empty() || levels_.back() != level))
                levels_.push_back(level);
    endResetModel();
}

void WalkModel::clear() {
    beginResetModel();
    answer_ = {};
    levels_.clear();
    endResetModel();
}

int WalkModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() || levels_.empty() ? 0 : static_cast<int>(levels_.size()) + 1;
}
int WalkModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

const vmx::WalkStep* WalkModel::step(int row, int column) const {
    if (!walk(column) || row >= static_cast<int>(levels_.size())) return nullptr;
    for (const vmx::WalkStep& s : walk(column)->steps)
        if (s.level == levels_[static_cast<size_t>(row)]) return &s;
    return nullptr;
}

QString WalkModel::end_text(int column) const {
    if (!walk(column)) return QStringLiteral("not walked");
    if (walk(column)->physical) return hex(*walk(column)->physical);
    return qs(vmx::name_of(walk(column)->fault));
}

QVariant WalkModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const bool last = index.row() == static_cast<int>(levels_.size());
    const vmx::WalkStep* at = index.column() == Level ? nullptr : step(index.row(), index.column());
    if (role == FigureRole) return index.column() != Level;
    if (role == GroupRole) return last;
    if (role == DetailRole)
        return at ? QStringLiteral("%1\nat %2")
                        .arg(qs(vmx::describe_entry(at->level, at->entry, ept_rules())), hex(at->address))
                  : QString();
    if (role != Qt::DisplayRole) return {};
    if (index.column() == Level)
        return last ? QStringLiteral("ends") : qs(vmx::entry_name(levels_[static_cast<size_t>(index.row())]));
    if (last) return end_text(index.column());
    return at ? hex(at->entry) : QStringLiteral("–");
}

QVariant WalkModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"Level", "EPT12 (L1's)", "EPT02 (L0's)"};
    return QString::fromLatin1(names[section]);
}

}  // namespace vmxscope::ui
