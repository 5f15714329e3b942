#!/bin/bash
# QEMU's -kernel boots the image on that machine type, without VT-x here: L1 says so in a sentence and ends with a failure.
set -euo pipefail
image=$1 machine=$2
said=$(mktemp)
trap 'rm -f "$said"' EXIT
status=0
timeout 60 qemu-system-x86_64 -accel tcg -machine "$machine" -m 32 -nodefaults -no-user-config -display none -no-reboot \
    -kernel "$image" -debugcon "file:$said" -device isa-debug-exit,iobase=0xf4,iosize=4 || status=$?
cat "$said"
grep -qx 'L1 up' "$said"
grep -q '^L1 failed: this processor has no VMX' "$said"
[ "$status" -eq 3 ]  # isa-debug-exit: the written value 1, doubled, plus 1
