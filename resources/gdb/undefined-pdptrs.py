"""Walks 100 nested entries and exits and prints those after which PDPTRs of vmcs12 or vmcs02 mean nothing.

    $ gdb -batch -ex 'target remote 127.0.0.1:4000' -x vmxscope-gdb.py -x undefined-pdptrs.py
"""
found = walked = 0
ask("QVmxStep:nested")  # noqa: F821: of vmxscope-gdb.py
while walked < 100 and stepi():  # noqa: F821
    walked += 1
    t = VmxTransition.here()  # noqa: F821
    if t.undefined:
        found += 1
        what = "undefined in %s%s" % (" and ".join(t.undefined), ", used by the processor" if t.used else "")
        pdptrs = [getattr(t.vmcs02, "guest_pdptr%d" % i) for i in range(4)]
        print(t, what, "vmcs02:", " ".join("not-read" if p is None else hex(p) for p in pdptrs), sep="  ")
print("%d of %d nested transitions have undefined PDPTRs." % (found, walked))
