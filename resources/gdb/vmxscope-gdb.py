"""Commands and a class for gdb sessions with a vmxscope agent or a served recording.

    (gdb) source vmxscope-gdb.py
    (gdb) target remote 127.0.0.1:4000
    (gdb) vmx step entry
    (gdb) info vmcs guest_cr

info vmcs [REGEX]     the fields whose name matches, in vmcs12 and vmcs02
vmx step [KIND]       to the next transition of that kind (transition, nested, entry, exit), then its headline
vmx pdptr             what KVM did with the PDPTRs at this transition, and why
vmx diff [SEQ SEQ]    what this transition changed, or in what two transitions differ
vmx until EXPR        step until an expression of gdb's is true: vmx until $vmcs02.guest_cr3 != $vmcs12.guest_cr3

In scripts, VmxTransition.here() and VmxTransition.of(SEQ) are transitions:

    t = VmxTransition.here()
    if "vmcs02" in t.undefined: print(t.seq, t.kind, t.vmcs02.guest_pdptr0)

What nobody read is None. Tested with gdb 13.
"""
import json
import re

import gdb

PIECE = 0x8000  # bytes of an object that are asked for at once
VMCSS = ("vmcs01", "vmcs12", "vmcs02")


def ask(packet):
    """What the server answers to a packet. gdb.GdbError where there is none, or where the answer is an error."""
    connection = gdb.selected_inferior().connection
    if not isinstance(connection, gdb.RemoteTargetConnection):
        raise gdb.GdbError("Not attached. First: target remote HOST:PORT.")
    reply = connection.send_packet(packet)
    if not reply:
        raise gdb.GdbError("The server does not know this packet: %s." % packet)
    if reply.startswith(b"E"):
        raise gdb.GdbError(reply[2:].decode(errors="replace") or reply.decode())
    return reply


def read_object(name):
    """A qXfer:vmx object, from JSON."""
    text = b""
    more = True
    while more:
        reply = ask("qXfer:vmx:read:%s:%x,%x" % (name, len(text), PIECE))
        more = reply[:1] == b"m"
        # gdb leaves the protocol's escapes in: 0x7d, then the byte with bit 5 turned over.
        text += re.sub(rb"\x7d(.)", lambda m: bytes([m.group(1)[0] ^ 0x20]), reply[1:], flags=re.DOTALL)
    return json.loads(text)


def number(text):
    """ "0x2a" as 42; what is no number ("not-read", "unsupported", None) is not known."""
    return int(text, 16) if isinstance(text, str) and text.startswith("0x") else None


class VmxFields:
    """One VMCS of a transition: each field by its name in lower case, an int or None."""

    def __init__(self, rows, vmcs):
        self._values = {row["field"].lower(): number(row.get(vmcs)) for row in rows}

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._values:
            raise AttributeError("There is no VMCS field %s." % name)
        return self._values[name]

    def __iter__(self):
        return iter(self._values)


class VmxTransition:
    """One transition. Attributes, None where not known:

    seq, vcpu (ints), kind ("nested-entry"), level (who runs then: 1 or 2), tsc, status,
    exit_reason ("CPUID"), exit_qualification, verdict (what KVM did with the PDPTRs: "copied", "skipped", …), undefined (the
    names of those VMCSs whose PDPTRs mean nothing then; () at a transition that moves none), used (whether the processor
    uses vmcs02's), regs (dict), notes (list), vmcs12, vmcs02, vmcs01 (VmxFields), json (all of it, as vmxscope's
    transition.schema.json describes it).
    """

    def __init__(self, record):
        self.json = record
        self.seq, self.vcpu, self.kind = record["seq"], record["vcpu"], record["kind"]
        self.level = 2 if self.kind in ("nested-entry", "l2-entry", "l2-exit") else 1
        self.tsc = number(record["tsc"])
        self.status = record["status"]
        self.exit_reason = record["exit_reason"]["name"] if record["exit_reason"] else None
        self.exit_qualification = number(record["exit"]["qualification"]) if record["exit"] else None
        pdptr = record["pdptr"] or {"verdict": None, "is": {}, "used": None}
        self.verdict, self.used = pdptr["verdict"], pdptr["used"]
        self.undefined = tuple(vmcs for vmcs, state in pdptr["is"].items() if state == "undefined")
        self.regs = {name: number(value) for name, value in record["regs"].items()}
        self.notes = record["notes"]
        for vmcs in VMCSS:
            setattr(self, vmcs, VmxFields(record["fields"], vmcs))

    @classmethod
    def of(cls, seq):
        """The transition of that number."""
        return cls(read_object("json/%d" % seq))

    @classmethod
    def here(cls):
        """The one that the selected thread is at; None before its first."""
        seq = current_seq()
        return cls.of(seq) if seq else None

    def __str__(self):
        words = ["#%d" % self.seq, "vCPU %d" % self.vcpu, self.kind]
        words += [self.exit_reason] if self.exit_reason else []
        words += ["PDPTRs " + self.verdict] if self.verdict else []
        return "  ".join(words)


def current_seq():
    """The number of the selected thread's transition, 0 before its first."""
    thread = gdb.selected_thread()
    if thread is None:
        raise gdb.GdbError("No vCPU is selected. First: target remote HOST:PORT.")
    vcpu = thread.ptid[1] - 1
    return next((v["last_seq"] for v in read_object("vcpus") if v["id"] == vcpu), 0)


def stepi():
    """One step of the present kind. False where it came no further: at the end of a recording."""
    before = current_seq()
    gdb.execute("with suppress-cli-notifications on -- stepi", to_string=True)
    return gdb.selected_thread() is not None and current_seq() != before


def differences(first, second):
    """Lines for the fields of vmcs12 and vmcs02 in which two transitions differ."""
    for old, new in zip(first.json["fields"], second.json["fields"]):
        for vmcs in ("vmcs12", "vmcs02"):
            if old[vmcs] != new[vmcs]:
                yield "%s %-32s %18s -> %s" % (vmcs, new["field"], old[vmcs], new[vmcs])


def own_changes(transition):
    """The same for what one transition changed."""
    for row in transition.json["changed"]:
        for vmcs in ("vmcs12", "vmcs02"):
            if vmcs + "_was" in row:
                yield "%s %-32s %18s -> %s" % (vmcs, row["field"], row[vmcs + "_was"], row[vmcs])


class InfoVmcs(gdb.Command):
    """The fields of vmcs12 and vmcs02 whose name matches: info vmcs [REGEX]"""

    def __init__(self):
        super().__init__("info vmcs", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        gdb.execute("monitor fields " + argument)


class Vmx(gdb.Command):
    """Nested VMX transitions: vmx step, vmx pdptr, vmx diff, vmx until. See: help vmx COMMAND."""

    def __init__(self):
        super().__init__("vmx", gdb.COMMAND_RUNNING, prefix=True)


class VmxStep(gdb.Command):
    """Run to the next transition of a kind: vmx step [transition|nested|entry|exit]

    What stepi means stays as it is."""

    KINDS = ("transition", "nested", "entry", "exit")

    def __init__(self):
        super().__init__("vmx step", gdb.COMMAND_RUNNING)

    def complete(self, text, word):
        return [kind for kind in self.KINDS if kind.startswith(word or "")]

    def invoke(self, argument, from_tty):
        usual = ask("qVmxStep").decode()
        ask("QVmxStep:" + (argument or "transition"))
        try:
            moved = stepi()
        finally:
            if gdb.selected_thread() is not None:
                ask("QVmxStep:" + usual)
        if gdb.selected_thread() is None:
            print("The guest has ended.")
        elif not moved:
            print("There is no further one: the recording ends here.")
        else:
            print(VmxTransition.here())


class VmxPdptr(gdb.Command):
    """What KVM did with the PDPTRs at this transition, and why: vmx pdptr"""

    def __init__(self):
        super().__init__("vmx pdptr", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        gdb.execute("monitor pdptr")


class VmxDiff(gdb.Command):
    """What this transition changed, or in what two differ: vmx diff [SEQ SEQ]"""

    def __init__(self):
        super().__init__("vmx diff", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        numbers = [int(gdb.parse_and_eval(word)) for word in gdb.string_to_argv(argument)]
        if len(numbers) not in (0, 2):
            raise gdb.GdbError("vmx diff takes two numbers of transitions, or none.")
        if numbers:
            lines = list(differences(VmxTransition.of(numbers[0]), VmxTransition.of(numbers[1])))
        else:
            here = VmxTransition.here()
            if here is None:
                raise gdb.GdbError("This vCPU has come to no transition yet.")
            lines = list(own_changes(here))
        print("\n".join(lines) or "No field differs.")


class VmxUntil(gdb.Command):
    """Step until an expression of gdb's is true: vmx until EXPR

    Each step is what stepi means (monitor stepi KIND). Where a value of the expression is not available, it is not true.
    Ctrl-C ends it. Conditions of the query language are looked at by the server, and quicker: monitor break if CONDITION,
    then continue."""

    def __init__(self):
        super().__init__("vmx until", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("vmx until takes an expression: vmx until $vmcs02.guest_cr3 != 0")
        steps = 0
        while stepi():
            steps += 1
            try:
                met = bool(gdb.parse_and_eval(argument))
            except gdb.error as e:
                if "not available" not in str(e) and "unavailable" not in str(e):
                    raise
                met = False
            if met:
                print("After %d steps: %s" % (steps, VmxTransition.here()))
                return
        print("%s is not true at any of the %d transitions up to the end." % (argument, steps))


for command in (InfoVmcs, Vmx, VmxStep, VmxPdptr, VmxDiff, VmxUntil):
    command()
