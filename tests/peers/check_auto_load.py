"""gdb loads the script by itself with a program that it lies beside: check_auto_load.py GDB SCRIPT."""
import os
import shutil
import subprocess
import sys
import tempfile

gdb, script = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    program = os.path.join(folder, "l1")
    shutil.copy("/bin/true", program)
    os.symlink(os.path.abspath(script), program + "-gdb.py")
    done = subprocess.run([gdb, "-nx", "-batch", "-iex", f"add-auto-load-safe-path {folder}",
                           "-iex", f"add-auto-load-safe-path {os.path.dirname(os.path.abspath(script))}",
                           program, "-ex", "vmx step"], capture_output=True, text=True, timeout=120)
    # There the command is, and says what it lacks.
    if "Not attached. First: target remote HOST:PORT." not in done.stderr:
        sys.exit(f"the script was not loaded:\n{done.stdout}{done.stderr}")
