#include "ui/pdptr_model.h"

#include "nested/changes.h"
#include "ui/roles.h"
#include "ui/text.h"
#include "vmx/pdpte.h"

namespace vmxscope::ui {

namespace {

constexpr int kPdptrs = 4;

vmx::Field pdptr_field(int row) {
    using enum vmx::Field;
    constexpr vmx::Field fields[kPdptrs] = {GUEST_PDPTR0, GUEST_PDPTR1, GUEST_PDPTR2, GUEST_PDPTR3};
    return fields[row];
}

}  // namespace

void PdptrModel::show(TransitionPtr transition, const std::optional<nested::Verdict>& verdict) {
    transition_ = std::move(transition);
    memory_.fill({});
    is12_ = verdict ? verdict->vmcs12 : nested::Is::Unknown;
    is02_ = verdict ? verdict->vmcs02 : nested::Is::Unknown;
    emit dataChanged(index(0, 0), index(kPdptrs - 1, kColumnCount - 1));
    emit headerDataChanged(Qt::Horizontal, 0, kColumnCount - 1);
}

void PdptrModel::set_memory(const std::array<std::uint64_t, 4>& entries) {
    for (std::size_t i = 0; i < entries.size(); ++i) memory_[i] = vmx::Value::of(entries[i]);
    emit dataChanged(index(0, 0), index(kPdptrs - 1, kColumnCount - 1));
}

int PdptrModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kPdptrs;
}
int PdptrModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumnCount;
}

vmx::Value PdptrModel::value(int row, int column) const {
    if (!transition_) return {};
    switch (column) {
        case Vmcs12: return transition_->vmcs12_after[pdptr_field(row)];
        case Vmcs02: return transition_->vmcs02_after[pdptr_field(row)];
        case Memory: return memory_[static_cast<size_t>(row)];
        default: return transition_->cached_pdptrs[static_cast<size_t>(row)];
    }
}

bool PdptrModel::undefined(int column) const {
    return (column == Vmcs12 ? is12_ : column == Vmcs02 ? is02_ : nested::Is::Unknown) == nested::Is::Undefined;
}

bool PdptrModel::stale(int row, int column) const {
    const vmx::Value v = value(row, column), memory = memory_[static_cast<size_t>(row)];
    return column != Memory && nested::differs(v, memory);
}

int PdptrModel::stale() const {
    int count = 0;
    for (int row = 0; row < kPdptrs; ++row)
        for (const int column : {Vmcs12, Vmcs02, Cached}) count += stale(row, column) ? 1 : 0;
    return count;
}

QString PdptrModel::detail(int row, int column) const {
    if (!transition_) return {};
    // What an undefined value "decodes" to would be believed; the word stands in its place.
    if (undefined(column)) return QStringLiteral("undefined");
    const vmx::Value v = value(row, column);
    if (!v.known()) return {};
    return (stale(row, column) ? QStringLiteral("stale · ") : QString()) + qs(vmx::describe_pdpte(v.bits));
}

QString PdptrModel::tool_tip(int row, int column) const {
    const vmx::Value v = value(row, column);
    if (!v.known()) return value_explanation(v);
    QString decoded = qs(vmx::describe_pdpte(v.bits));
    if (stale(row, column))
        decoded += QStringLiteral("\nStale: the table in memory holds %1 now.")
                       .arg(hex(memory_[static_cast<size_t>(row)].bits));
    return undefined(column)
               ? QStringLiteral("Undefined: by the SDM nobody may rely on this value here. Its bits would say: ") +
                     decoded
               : decoded;
}

QVariant PdptrModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const int row = index.row(), column = index.column();
    switch (role) {
        case Qt::DisplayRole: return transition_ ? value_text(value(row, column)) : QString();
        case Qt::ToolTipRole: return transition_ ? tool_tip(row, column) : QString();
        case DetailRole: return detail(row, column);
        case StateRole: return static_cast<int>(value(row, column).state);
        case UndefinedRole: return transition_ && undefined(column);
        case FigureRole: return true;
        default: return {};
    }
}

QVariant PdptrModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (role == Qt::DisplayRole && orientation == Qt::Vertical) return QStringLiteral("PDPTR%1").arg(section);
    if (orientation != Qt::Horizontal || section < 0 || section >= kColumnCount) return {};
    static constexpr const char* names[] = {"vmcs12", "vmcs02", "cached", "in memory"};
    static constexpr const char* tips[] = {
        "GUEST_PDPTR0-3 of vmcs12: what the guest hypervisor (L1) reads and writes.",
        "GUEST_PDPTR0-3 of vmcs02: what the processor loads at VM-entry and saves at VM-exit.",
        "KVM's register cache: vcpu->arch.walk_mmu->pdptrs.",
        "The table that L2's CR3 points to, as it is in memory where the vCPU is held: it may have gone on a little.",
    };
    if (role == Qt::DisplayRole) return QString::fromLatin1(names[section]);
    if (role == Qt::ToolTipRole) return QString::fromLatin1(tips[section]);
    return {};
}

}  // namespace vmxscope::ui
