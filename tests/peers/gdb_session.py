"""What gdb_matrix.py has gdb do, inside gdb, after vmxscope-gdb.py: every value that gdb shows is held against the same
transition as JSON, which takes another way through the server. The last line of output is "N checks passed" or "… failed".

From the environment: MATRIX_ENDPOINT, MATRIX_BACK ("1": the target goes back), MATRIX_MEMORY (a linear address that can be
read, or "": no memory), MATRIX_STEPS (steps of each kind).
"""
import os
import re

import gdb

ENDPOINT, BACK = os.environ["MATRIX_ENDPOINT"], os.environ["MATRIX_BACK"] == "1"
MEMORY, STEPS = os.environ["MATRIX_MEMORY"], int(os.environ["MATRIX_STEPS"])
KINDS = {
    "transition": {"l1-exit", "nested-entry", "l2-entry", "l2-exit", "nested-exit", "l1-entry", "nested-entry-failed"},
    "nested": {"nested-entry", "nested-exit", "nested-entry-failed"},
    "entry": {"nested-entry", "nested-entry-failed"},
    "exit": {"nested-exit"},
}
UNKNOWN_RIP = 1 << 63
passed, failures = 0, []
available = set()  # structures that were, at some stop


def check(held, what):
    global passed
    if held:
        passed += 1
    else:
        failures.append(what)


def value(expression):
    """An int, or None for <unavailable>."""
    try:
        return int(gdb.parse_and_eval(expression)) & 0xFFFFFFFFFFFFFFFF
    except gdb.error as e:
        if "not available" not in str(e):
            raise
        return None


def is_available(register):
    return "<unavailable>" not in str(gdb.parse_and_eval("$" + register))


def check_registers(t):
    for name, known in t.regs.items():
        if name == "rflags":
            name, known = "eflags", None if known is None else known & 0xFFFFFFFF
        elif name == "rip" and known is None:
            known = UNKNOWN_RIP
        check(value("$" + name) == known, "%s: $%s is %s, not %s" % (t, name, value("$" + name), known))


def check_fields(t, vmcs):
    fields = getattr(t, vmcs)
    for name in fields:
        known, shown = getattr(fields, name), value("$%s_%s" % (vmcs, name))
        check(shown == known, "%s: $%s_%s is %s, not %s" % (t, vmcs, name, shown, known))


def check_structure(t, vmcs):
    structure, fields = gdb.parse_and_eval("$" + vmcs), getattr(t, vmcs)
    members = [f.name for f in structure.type.fields()]
    check(len(members) > 10, "$%s has only %d members" % (vmcs, len(members)))
    everything = all(getattr(fields, m) is not None for m in members)
    check(is_available(vmcs) == everything, "%s: $%s is %savailable" % (t, vmcs, "un" if everything else ""))
    if not everything:
        return
    available.add(vmcs)
    for m in members:
        shown = value("$%s.%s" % (vmcs, m))
        check(shown == getattr(fields, m), "%s: $%s.%s is %s, not %s" % (t, vmcs, m, shown, getattr(fields, m)))


def check_expressions(t):
    """As in breakpoint conditions."""
    if not is_available("vmcs12") or not is_available("vmcs02"):
        return
    paging = t.vmcs02.guest_cr0 >> 31 & 1
    check(value("($vmcs02.guest_cr0 & 0x80000000) != 0") == paging, "%s: a condition on CR0" % t)
    check(value("$vmcs02_bits.guest_cr0.PG") == paging, "%s: a bit of CR0" % t)
    check(value("$vmcs02.guest_cr0 == %d" % t.vmcs02.guest_cr0) == 1, "%s: CR0 compared" % t)
    shown = str(gdb.parse_and_eval("$vmcs02.guest_cr0"))
    check(shown.startswith("[ PE ") == bool(t.vmcs02.guest_cr0 & 1), "%s: CR0 is shown as %s" % (t, shown))
    difference = (t.vmcs02.guest_cr3 - t.vmcs12.guest_cr3) & 0xFFFFFFFFFFFFFFFF
    check(value("$vmcs02.guest_cr3 - $vmcs12.guest_cr3") == difference, "%s: a difference" % t)


def check_stop(t):
    check_registers(t)
    for vmcs in ("vmcs12", "vmcs02"):
        check_fields(t, vmcs)
    for vmcs in ("vmcs12", "vmcs02", "vmcs01"):
        check_structure(t, vmcs)
    check_expressions(t)
    name = gdb.selected_thread().name
    check(name == "vCPU %d, L%d" % (t.vcpu, t.level), "%s: the thread is called %s" % (t, name))


def check_steps():
    for kind, kinds in KINDS.items():
        for _ in range(STEPS):
            before = current_seq()
            gdb.execute("vmx step " + kind, to_string=True)
            t = VmxTransition.here()
            check(t is not None and t.kind in kinds, "a step of kind %s came to %s" % (kind, t))
            check(t is not None and t.seq > before, "a step of kind %s did not go forward" % kind)
            check_stop(t)
    check(ask("qVmxStep") == b"transition", "vmx step changed what stepi means")
    check(available == {"vmcs12", "vmcs02", "vmcs01"}, "available were only %s" % available)


def check_until():
    """To the third nested entry from here, by an expression of gdb's."""
    gdb.execute("monitor stepi entry", to_string=True)
    here = current_seq()
    gdb.execute("set $matrix = 0")
    said = gdb.execute("vmx until $matrix++ == 2 && $vmcs12.vmcs_link_pointer == $vmcs12_vmcs_link_pointer", to_string=True)
    t = VmxTransition.here()
    check(t.seq > here and t.kind in KINDS["entry"] and "After 3 steps: #%d " % t.seq in said, "vmx until: " + said)
    gdb.execute("monitor stepi transition", to_string=True)


def check_break():
    """continue stops where a condition of the server's holds, and reverse-continue at the one before."""
    said = gdb.execute("monitor break if kind == nested-entry && vmcs12.GUEST_RIP != 0", to_string=True)
    number = re.match(r"Break (\d+): ", said)
    check(number is not None, "monitor break: " + said)
    stops = []
    for _ in range(2):
        before = current_seq()
        gdb.execute("continue", to_string=True)
        t = VmxTransition.here()
        check(t.kind == "nested-entry" and t.seq > before, "from #%d continue came to %s" % (before, t))
        stops.append(t.seq)
    check_stop(t)
    if BACK:
        gdb.execute("reverse-continue", to_string=True)
        check(current_seq() == stops[0], "reverse-continue came to #%d, not #%d" % (current_seq(), stops[0]))
    check("hit" in gdb.execute("monitor breaks", to_string=True), "monitor breaks")
    gdb.execute("monitor delete %s" % (number.group(1) if number else 1), to_string=True)
    check("no breaks" in gdb.execute("monitor breaks", to_string=True), "monitor delete")


def check_commands():
    here = current_seq()
    check("GUEST_CR3" in gdb.execute("info vmcs ^guest_cr3$", to_string=True), "info vmcs")
    check("PDPTR" in gdb.execute("vmx pdptr", to_string=True), "vmx pdptr")
    check(gdb.execute("vmx diff %d %d" % (here, here), to_string=True) == "No field differs.\n", "vmx diff")
    check("pid on L0" in gdb.execute("info os processes", to_string=True), "info os processes")
    check("held" in gdb.execute("info os threads", to_string=True), "info os threads")
    for command in ("help", "info", "pdptr", "fields GUEST_CR0", "help space"):
        check(len(gdb.execute("monitor " + command, to_string=True)) > 20, "monitor " + command)


def check_memory():
    try:
        said = gdb.execute("x/2xb %s" % (MEMORY or "0x1000"), to_string=True)
        check(bool(MEMORY), "memory that is not there shows as %s" % said)
    except gdb.error as e:
        check(not MEMORY and "Cannot access memory" in str(e), "x: %s" % e)


def check_back():
    here = current_seq()
    gdb.execute("stepi", to_string=True)
    there = current_seq()
    gdb.execute("reverse-stepi", to_string=True)
    check(there > here and current_seq() == here, "reverse-stepi came to %d, not %d" % (current_seq(), here))
    check_stop(VmxTransition.here())
    gdb.execute("reverse-continue", to_string=True)
    check(current_seq() < here, "reverse-continue stayed at %d" % here)


def attach():
    gdb.execute("target remote " + ENDPOINT, to_string=True)
    check(all(t.name.startswith("vCPU ") for t in gdb.selected_inferior().threads()), "the threads' names")


def session():
    attach()
    check_steps()
    check_until()
    check_memory()  # of the present: check_break() goes back
    check_break()
    check_commands()
    if BACK:
        check_back()
    gdb.execute("detach", to_string=True)
    check(not gdb.selected_inferior().threads(), "threads stayed after detach")
    attach()  # and again
    gdb.execute("vmx step", to_string=True)
    check_stop(VmxTransition.here())
    gdb.execute("detach", to_string=True)


try:
    gdb.execute("set pagination off")
    session()
except (gdb.error, AttributeError, KeyError, TypeError) as e:
    failures.append("%s: %s" % (type(e).__name__, e))
for failure in failures[:20]:
    print("FAILED", failure)
print("%d checks failed" % len(failures) if failures else "%d checks passed" % passed)
gdb.execute("quit %d" % bool(failures))
