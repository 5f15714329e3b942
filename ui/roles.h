// The roles by which models tell views what a cell means. They carry meaning, never a colour: ui/palette.h owns those.
#pragma once

#include <Qt>

namespace vmxscope::ui {

enum Role : int {
    /// int of vmx::Known. Not Yes: there is no value, and the display text says why.
    StateRole = Qt::UserRole + 1,
    /// bool: vmcs12 and vmcs02 are both known and differ.
    DiffersRole,
    /// bool: this transition changed the value.
    ChangedRole,
    /// bool: by the SDM the value may not be relied on by whoever reads it here, whatever its bits are.
    UndefinedRole,
    /// QString: a second, smaller line below the display text.
    DetailRole,
    /// bool: a column of figures, to be set in the fixed-width font and aligned right.
    FigureRole,
    /// bool: a field that neither VMCS has.
    AbsentRole,
    /// bool: a heading over rows, not a row.
    GroupRole,
    /// int of ui::Mark (ui/verdict_text.h): which look and glyph the cell's word has.
    MarkRole,
    /// quint64: a transition's sequence number.
    SeqRole,
    /// int of nested::Kind.
    KindRole,
    /// quint32: KVM's vcpu_id.
    VcpuRole,
    /// bool: rows that belong before this one are not here.
    GapRole,
    /// bool: nothing uses the value in the VMCS that it is in; the tool tip says why.
    MeaninglessRole,
    /// bool: rule, evidence and values contradict each other here.
    FindingRole,
    /// bool: a person's own value, in place of the one that was read.
    EditedRole,
    /// int: the place of the row's field in vmx::all_fields().
    FieldRole,
};

}  // namespace vmxscope::ui
