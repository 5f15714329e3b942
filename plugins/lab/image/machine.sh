# The emulated machine: its Bochs configuration, and its state at the point where it waits for a lab, kept so that labs
# begin there: 2 s instead of 25. Sourced by build, before base.sh.

readonly machine_ips=50000000  # emulated instructions in an emulated second

# machine_config CPUS: a bochsrc. All paths in it are relative: a lab's own directory holds what they name.
# When a state is restored, Bochs numbers its timers by the order in which devices are made, and that order is the one of
# the lines here only if each optional device is named before it is used: so all are unloaded first, then loaded in order.
# sync=slowdown: an idle lab sleeps instead of racing through time.
machine_config() {
    cat <<CONFIG
plugin_ctrl: unmapped=0, biosdev=0, serial=0, speaker=0, extfpuirq=0, parallel=0, gameport=0, iodebug=0
plugin_ctrl: biosdev=1, usb_uhci=1, e1000=1, serial=1, unmapped=1
megs: 768
cpu: model=corei7_skylake_x, count=$1, ips=$machine_ips, reset_on_triple_fault=0
clock: sync=slowdown
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=boot.iso, status=inserted
boot: cdrom
display_library: term
com1: enabled=1, mode=file, dev=console.log
pci: enabled=1, chipset=i440fx, slot1=e1000
e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp, script=slirp.conf
mouse: enabled=0
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
magic_break: enabled=0
log: bochs.log
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
CONFIG
}

machine_inputs() {
    machine_config "$1"
    cat "$image_source"/{machine.sh,save-state.c}
    stat_of "$(command -v bochs-bin)" /usr/share/bochs/BIOS-bochs-latest /usr/share/bochs/VGABIOS-lgpl-latest
}

# wait_for SECONDS CHILD COMMAND…: until COMMAND succeeds; fails when CHILD or the build itself ends before, or time runs out
wait_for() {
    local deadline=$((SECONDS + $1)) child=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] && kill -0 "$child" 2>/dev/null && kill -0 $$ 2>/dev/null || return 1
        sleep 0.1
    done
}

# Boots the machine in DIRECTORY (which has its bochsrc and boot.iso) until it waits, and keeps its state in
# DIRECTORY/state. Bochs needs a terminal, which script(1) gives it, and does not heed SIGTERM.
save_machine() (
    directory=$1
    cd "$directory" || exit 1
    echo '# slirp config' >slirp.conf
    echo c >go
    gcc -shared -fPIC -O1 -o save-state.so "$image_source/save-state.c" || exit 1
    mkdir -p state
    export TERM=linux BOCHS_SAVE_STATE=$directory/state
    script -qc "LD_PRELOAD=$directory/save-state.so exec bochs-bin -q -f bochsrc -rc go" /dev/null \
        >terminal.log 2>&1 </dev/null &
    terminal=$!
    bochs=
    trap 'exit 1' TERM
    trap '[ -z "$bochs" ] || kill -KILL "$bochs" 2>/dev/null; kill "$terminal" 2>/dev/null' EXIT
    find_bochs() { bochs=$(pgrep -P "$terminal" -x bochs-bin); }
    wait_for 60 "$terminal" find_bochs &&
        wait_for 900 "$terminal" grep -q '^vmxscope-lab: \(waiting\|error\)' console.log &&
        grep '^vmxscope-lab: ' console.log && ! grep -q '^vmxscope-lab: error' console.log &&
        kill -INT "$bochs" &&
        wait_for 60 "$terminal" grep -q '<bochs:[0-9]*>' terminal.log &&
        kill -USR2 "$bochs" || { tail -n 20 console.log terminal.log; exit 1; }
    wait_for 120 "$bochs" test -e state/complete || [ -e state/complete ] || exit 1
    cp bochsrc state/config
)

make_machine() {  # make_machine CPUS: $system_dir/machine-CPUS: bochsrc, and state/ to begin from
    local cpus=$1 machine=$system_dir/machine-$1 inputs work
    inputs=$(machine_inputs "$cpus" | fingerprint)
    up_to_date "$machine" "$inputs" && return
    rm -rf "$machine".part.*  # of a build that was killed
    work=$(mktemp -d "$machine.part.XXXXXX")
    machine_config "$cpus" >"$work/bochsrc"
    ln -s "$system_dir/boot.iso" "$work/boot.iso"
    step "booting a lab with $cpus CPU(s) once, to keep its state" save_machine "$work"
    (cd "$work" && rm -f slirp.conf go save-state.so terminal.log bochs.log console.log)
    rm -rf "$machine" && mv "$work" "$machine"
    echo "$inputs" >"$machine.inputs"
}
