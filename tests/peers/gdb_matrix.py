#!/usr/bin/env python3
"""One definition of what gdb, gdb-multiarch and lldb must be able to do with a vmxscope server, for any endpoint: a recording
that this program serves itself, or an agent that is there already.

    gdb_matrix.py --debugger gdb --serve build/bin/vmxscopectl FILE.vxt
    gdb_matrix.py --debugger lldb-14 --endpoint 127.0.0.1:4000 [--memory 0x100000]

--debugger   gdb, gdb-multiarch or lldb-14, or its path; by what its name contains it is driven as lldb or as gdb
--endpoint   HOST:PORT, or the path of a unix socket; nobody else may be attached
--serve      vmxscopectl, which then serves the recording that is named after it (on a unix socket for gdb, for lldb on TCP)
--back       the target goes back: always so with --serve
--memory     a linear address that can be read where the guest stops; without it there must be no memory (a recording)
--steps      steps of each kind (default 3)

Attaching, threads, registers by name, by expression and as structures, a step of each kind, a run until a condition holds,
memory, going back, detaching, attaching again. What a debugger shows is held against the transition as JSON. Prints what
failed; exit 0 if nothing did.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
RESOURCES = os.path.join(HERE, "..", "..", "resources", "gdb")
KINDS = {
    "transition": {"l1-exit", "nested-entry", "l2-entry", "l2-exit", "nested-exit", "l1-entry", "nested-entry-failed"},
    "nested": {"nested-entry", "nested-exit", "nested-entry-failed"},
    "entry": {"nested-entry", "nested-entry-failed"},
    "exit": {"nested-exit"},
}
LIMIT = 600  # seconds for one debugger: a lab's guest is slow


class Served:
    """vmxscopectl serving a recording, for as long as this is open."""

    def __init__(self, program, trace, listen):
        self.process = subprocess.Popen([program, "serve", trace, "--listen", listen], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        match = re.match(r"listening on (?:tcp|unix):(.*)", line)
        if not match:
            self.process.kill()
            sys.exit("vmxscopectl did not serve: " + line)
        self.endpoint = match.group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def clean_environment():
    return {**os.environ, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def with_gdb(options, endpoint):
    environment = {**clean_environment(), "MATRIX_ENDPOINT": endpoint, "MATRIX_BACK": str(int(options.back)),
                   "MATRIX_MEMORY": options.memory, "MATRIX_STEPS": str(options.steps)}
    command = [options.debugger, "-nx", "-batch", "-ex", "set remotetimeout 300",
               "-x", os.path.join(RESOURCES, "vmxscope-gdb.py"), "-x", os.path.join(HERE, "gdb_session.py")]
    ran = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=LIMIT, check=False)
    if ran.returncode != 0 or not re.search(r"^\d+ checks passed$", ran.stdout, re.MULTILINE):
        return [ran.stdout or "gdb said nothing"]
    print(ran.stdout.splitlines()[-1])
    return []


class Lldb:
    """lldb, asked one command after the other."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "--no-lldbinit", "--no-use-colors"], env=clean_environment(), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.marks = 0
        self.watchdog = threading.Timer(LIMIT, self.process.kill)
        self.watchdog.start()

    def ask(self, command):
        """What it prints. A command that is not there marks the end."""
        self.marks += 1
        mark = "no-such-command-%d" % self.marks
        self.process.stdin.write("%s\n%s\n" % (command, mark))
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if mark in line and "error:" in line:
                return "".join(said)
            if mark not in line:
                said.append(line)
        raise RuntimeError("lldb ended. It said: " + "".join(said))

    def run(self, command, until="frame #0:"):
        """A command whose end is told later, as that of a run is: the line that tells it."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if until in line or "error:" in line and "memory read" not in line:
                return line
        raise RuntimeError("lldb ended during: " + command)

    def packet(self, packet):
        """The answer, in which there is no line's end; what is told of threads may come after it."""
        said = self.ask("process plugin packet send '%s'" % packet)
        return said[said.index("response: ") + len("response: "):].split("\n")[0].strip()

    def register(self, name):
        """An int, or None where lldb says that it is not available."""
        said = self.ask("register read --format hex %s" % name)
        match = re.search(r"%s = 0x([0-9a-f]+)" % name, said)
        return int(match.group(1), 16) if match else None

    def close(self):
        self.watchdog.cancel()
        self.process.stdin.close()
        self.process.wait()


def known(text):
    return int(text, 16) if text.startswith("0x") else None


def lldb_session(lldb, options, endpoint):
    failures = []

    def check(held, what):
        if not held:
            failures.append(what)

    def here():
        seq = json.loads(lldb.packet("qXfer:vmx:read:vcpus:0,fff0")[1:])[0]["last_seq"]
        text, more = "", True
        while more:
            piece = lldb.packet("qXfer:vmx:read:json/%d:%x,8000" % (seq, len(text)))
            more, text = piece[:1] == "m", text + piece[1:]
        return json.loads(text)

    # An agent answers the first packet once it has attached.
    lldb.ask("settings set plugin.process.gdb-remote.packet-timeout %d" % LIMIT)
    connected = lldb.run("gdb-remote " + endpoint)
    check("frame #0" in connected, "gdb-remote: " + connected)
    check("name = 'vCPU 0, L" in lldb.ask("thread list"), "thread list")
    for kind in KINDS:
        check(lldb.packet("QVmxStep:" + kind) == "OK", "QVmxStep:" + kind)
        for _ in range(options.steps):
            before = here()["seq"]
            lldb.run("thread step-inst")
            t = here()
            came = t["kind"] in KINDS[kind] and t["seq"] > before
            check(came, "from #%d a step of kind %s came to %s #%d" % (before, kind, t["kind"], t["seq"]))
            listed = lldb.ask("thread list")
            reason = "#%d vCPU 0" % t["seq"] in listed or "instruction step into" in listed
            check(reason, "the reason of the stop at #%d: %s" % (t["seq"], listed))
            for name in ("rax", "rsp", "rip"):
                expected = known(t["regs"][name])
                if name == "rip" and expected is None:
                    expected = 1 << 63
                shown = lldb.register(name)
                check(shown == expected, "#%d %s is %s, not %s" % (t["seq"], name, shown, expected))
            for row in t["fields"]:
                if row["field"] in ("GUEST_CR0", "GUEST_CR3", "GUEST_PDPTR0", "VIRTUAL_PROCESSOR_ID", "TSC_MULTIPLIER"):
                    for vmcs in ("vmcs12", "vmcs02"):
                        name = "%s_%s" % (vmcs, row["field"].lower())
                        shown = lldb.register(name)
                        check(shown == known(row[vmcs]), "#%d %s is %s, not %s" % (t["seq"], name, shown, row[vmcs]))
    memory = lldb.ask("memory read --count 16 %s" % (options.memory or "0x1000"))
    check(("error" in memory) == (not options.memory), "memory read: " + memory)
    check("detached" in lldb.run("detach", "detached"), "detach")
    check("frame #0" in lldb.run("gdb-remote " + endpoint), "attaching again")
    check("detached" in lldb.run("detach", "detached"), "detaching again")
    return failures


def with_lldb(options, endpoint):
    lldb = Lldb(options.debugger)
    try:
        return lldb_session(lldb, options, endpoint)
    except (RuntimeError, ValueError, OSError) as e:
        return ["%s: %s" % (type(e).__name__, e)]
    finally:
        lldb.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--debugger", required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--endpoint")
    where.add_argument("--serve", nargs=2, metavar=("VMXSCOPECTL", "FILE"))
    parser.add_argument("--back", action="store_true")
    parser.add_argument("--memory", default="")
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    is_lldb = "lldb" in os.path.basename(options.debugger)
    run = with_lldb if is_lldb else with_gdb
    if options.endpoint:
        failures = run(options, options.endpoint)
    else:
        options.back = True
        with tempfile.TemporaryDirectory() as folder:
            listen = "tcp:127.0.0.1:0" if is_lldb else "unix:%s/socket" % folder
            with Served(*options.serve, listen) as served:
                failures = run(options, served.endpoint)
    print("\n".join(failures) or "ok")
    return 1 if failures else 0


sys.exit(main())
