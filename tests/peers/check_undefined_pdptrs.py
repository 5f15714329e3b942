#!/usr/bin/env python3
"""Runs resources/gdb/undefined-pdptrs.py on each of the recordings and holds what it prints against `vmxscopectl query`.

Usage: check_undefined_pdptrs.py GDB VMXSCOPECTL RESOURCES
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WALKED = 100


def expected(vmxscopectl, trace):
    """The numbers of those among the first nested entries and exits that leave PDPTRs undefined."""
    nested = "kind in {nested-entry, nested-exit, nested-entry-failed}"
    said = subprocess.run([vmxscopectl, "query", trace, nested, "--json", "--limit", str(WALKED)], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    all_nested = [json.loads(line) for line in said.splitlines()]
    return [t["seq"] for t in all_nested if t["pdptr"] and "undefined" in t["pdptr"]["is"].values()], len(all_nested)


def found(gdb, vmxscopectl, trace, resources):
    with tempfile.TemporaryDirectory() as folder:
        served = subprocess.Popen([vmxscopectl, "serve", trace, "--listen", "unix:%s/socket" % folder], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            served.stdout.readline()
            said = subprocess.run([gdb, "-nx", "-batch", "-ex", "target remote %s/socket" % folder,
                                   "-x", resources / "gdb/vmxscope-gdb.py", "-x", resources / "gdb/undefined-pdptrs.py"],
                                  check=True, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=300).stdout
        finally:
            served.terminate()
            served.wait()
    end = re.search(r"^(\d+) of (\d+) nested transitions have undefined PDPTRs\.$", said, re.MULTILINE)
    numbers = [int(n) for n in re.findall(r"^#(\d+) .*undefined in vmcs(?:12|02)", said, re.MULTILINE)]
    if not end or int(end.group(1)) != len(numbers):
        sys.exit("%s: %s" % (trace, said))
    return numbers, int(end.group(2))


def main():
    gdb, vmxscopectl, resources = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    total = 0
    for trace in sorted(resources.glob("traces/*.vxt")):
        by_gdb, by_query = found(gdb, vmxscopectl, trace, resources), expected(vmxscopectl, trace)
        if by_gdb != by_query:
            sys.exit("%s: gdb says %s, query says %s" % (trace, by_gdb, by_query))
        total += len(by_gdb[0])
        print("%s: %d of %d" % (trace.name, len(by_gdb[0]), by_gdb[1]))
    if total == 0:
        sys.exit("No recording has any: nothing was checked.")


main()
