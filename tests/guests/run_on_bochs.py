#!/usr/bin/env python3
"""Runs one of the lab's L1 hypervisors straight on Bochs's VT-x, without any KVM in between.

Boots the image by isolinux and mboot.c32, waits until every processor has run the given number of rounds, then tells L1
to stop through COM1. Fails with what L1 said if it reports a failure, ends, or does not get there in time.
"""

import argparse
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tty

ISOLINUX_FILES = [
    "/usr/lib/ISOLINUX/isolinux.bin",
    "/usr/lib/syslinux/modules/bios/ldlinux.c32",
    "/usr/lib/syslinux/modules/bios/libcom32.c32",
    "/usr/lib/syslinux/modules/bios/mboot.c32",
]

ISOLINUX_CONFIG = "default guest\nlabel guest\n kernel mboot.c32\n append guest.elf\nprompt 0\ntimeout 1\n"

# The sound drivers are named because Bochs dies at start when it finds none.
BOCHSRC = """\
megs: 64
cpu: model=corei7_skylake_x, count={cpus}, ips=50000000, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=lab.iso, status=inserted
boot: cdrom
display_library: term
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
log: bochs.log
clock: sync=none
mouse: enabled=0
port_e9_hack: enabled=1
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=0, parallel=0, serial=1, gameport=0, iodebug=0
"""


class Machine:
    """An emulated machine that boots one image. Its console is read with wait_for(), its COM1 written with send()."""

    def __init__(self, image, cpus, directory, seconds):
        self.text = ""
        self.screen = None
        self.deadline = time.monotonic() + seconds
        make_iso(image, directory)
        listener = socket.create_server(("127.0.0.1", 0))
        write(directory, "bochsrc", BOCHSRC.format(cpus=cpus, port=listener.getsockname()[1]))
        write(directory, "debugger", "c\n")  # Debian's Bochs starts in its own debugger: continue
        # A terminal of its own: Bochs wants one, and dies with it if this program dies.
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.environ["TERM"] = "vt100"
            os.execlp("bochs", "bochs", "-q", "-f", "bochsrc", "-rc", "debugger")
        listener.settimeout(seconds)
        self.com1, _ = listener.accept()
        listener.close()

    def send(self, data):
        self.com1.sendall(data)

    def wait_for(self, pattern):
        """The match of the pattern in all that was said so far; ends the test if it can no longer come."""
        while True:
            if match := re.search(pattern, self.text, re.MULTILINE):
                return match
            if failed := re.search(r"L1 failed: [^\r\n]*[\r\n]", self.text):
                raise SystemExit(failed.group().strip())
            if not self.read_more():
                raise SystemExit(f"Waited in vain for /{pattern}/. The console said:\n{self.text[-2000:]}")

    def read_more(self):
        left = self.deadline - time.monotonic()
        files = [self.terminal] + ([] if self.screen is None else [self.screen])
        ready = select.select(files, [], [], max(left, 0))[0]
        if not ready:
            return False
        if self.screen in ready:
            os.read(self.screen, 65536)
        if self.terminal not in ready:
            return True
        try:
            data = os.read(self.terminal, 65536)
        except OSError:  # Bochs has gone
            return False
        self.text += data.decode(errors="replace").replace("\r", "")
        if self.screen is None:
            self.open_screen()
        return bool(data)

    def open_screen(self):
        """Bochs draws the machine's screen on a second terminal of its own: unread, that fills up, and Bochs hangs."""
        if named := re.search(r'connected to screen "([^"]+)"', self.text):
            self.screen = os.open(named.group(1), os.O_RDONLY | os.O_NOCTTY)
            tty.setraw(self.screen)

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def write(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="ascii") as file:
        file.write(text)


def make_iso(image, directory):
    tree = os.path.join(directory, "tree")
    os.mkdir(tree)
    for file in ISOLINUX_FILES:
        shutil.copy(file, tree)
    shutil.copy(image, os.path.join(tree, "guest.elf"))
    write(tree, "isolinux.cfg", ISOLINUX_CONFIG)
    subprocess.run(
        ["xorriso", "-as", "mkisofs", "-quiet", "-o", os.path.join(directory, "lab.iso"),
         "-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", tree],
        check=True, capture_output=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--rounds", type=int, default=256, help="a multiple of 64, at which L1 says where it is")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--says", action="append", default=[], help="a sentence that L1 must have said by then")
    parser.add_argument("--seconds", type=int, default=240, help="give up after that long")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="vmxscope-guest-") as directory:
        machine = Machine(options.image, options.cpus, directory, options.seconds)
        try:
            machine.wait_for(r"^L1 up$")
            machine.wait_for(rf"^round {options.rounds}$")
            if options.cpus > 1:
                machine.wait_for(rf"^cpu 1: round {options.rounds}$")
            for sentence in options.says:
                machine.wait_for(re.escape(sentence))
            machine.send(b"q")
            rounds = int(machine.wait_for(r"^stopped after (\d+) rounds$").group(1))
        finally:
            machine.stop()
    if rounds < options.rounds:
        sys.exit(f"L1 says it stopped after {rounds} rounds, and said round {options.rounds} before.")
    print(f"stopped after {rounds} rounds, as told")


if __name__ == "__main__":
    main()
