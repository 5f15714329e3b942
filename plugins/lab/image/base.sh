# What all labs share and what changes rarely: a boot CD with the kernel and one archive of /init, busybox, KVM's modules,
# the network driver and QEMU. Sourced by build, after kernel.sh. Sets: system_dir.

readonly qemu=/usr/bin/qemu-system-x86_64
readonly trace_cmd=/usr/bin/trace-cmd  # the kernel's own tracing, to compare with (tests/bench/record_cost)
# QEMU's firmware for a PC without display, and its loaders of multiboot, PVH and Linux kernels.
readonly qemu_firmware="/usr/share/seabios/bios-256k.bin /usr/share/seabios/bios-microvm.bin /usr/share/qemu/qboot.rom
    /usr/share/qemu/bios-microvm.bin /usr/share/qemu/kvmvapic.bin /usr/share/qemu/linuxboot.bin
    /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/multiboot.bin /usr/share/qemu/multiboot_dma.bin
    /usr/share/qemu/pvh.bin"
# In the order they are loaded before the lab says anything more; dependencies are added.
readonly lab_modules="kvm_intel"

module_files() {  # the files of kvm_intel and what it needs, in load order
    modprobe --dirname "$kernel_dir/tree" --set-version "$release" --show-depends $lab_modules |
        sed -n 's/^insmod \([^ ]*\).*/\1/p'
}

# Libraries of the agent that QEMU does not need: they rarely change, so they need not be sent to each lab.
agent_libraries() {
    ldconfig -p | sed -nE 's/^[[:space:]]*(libstdc\+\+\.so\.6|libfmt\.so\.9|libZydis\.so\.4\.0|libZycore\.so\.1\.4|libbpf\.so\.1|libzstd\.so\.1|libxxhash\.so\.0) .*x86-64.* => (.*)/\2/p'
}

base_libraries() {
    # shellcheck disable=SC2046
    libraries_of "$qemu" "$trace_cmd" $(agent_libraries)
    agent_libraries
}

base_inputs() {
    echo "$release $image_version"
    cat "$image_source"/{base.sh,init,lab-shell,lab-load}
    # shellcheck disable=SC2046,SC2086 # lists of paths without blanks
    stat_of /bin/busybox "$qemu" "$trace_cmd" $(base_libraries) $qemu_firmware
}

add_file() {  # add_file ROOT PATH…: into ROOT at the same path, links followed
    local root=$1 path
    shift
    for path in "$@"; do
        [ -e "$path" ] || continue
        mkdir -p "$root${path%/*}"
        cp -L --preserve=mode "$path" "$root$path"
    done
}

# Cuts off the signature that Debian appends to a module; the module itself stays as it is, bit for bit. The kernel
# would hash all of it to verify the signature: 8 of 28 seconds on an emulated CPU.
# The trailer: signature, struct module_signature (12 bytes, the last 4 = signature length, big-endian), then a marker.
drop_signature() {
    local marker=28 info=12 length
    [ "$(tail -c $marker "$1")" = "~Module signature appended~" ] || return 0
    length=$((16#$(tail -c $((marker + 4)) "$1" | head -c 4 | od -An -tx1 | tr -d ' \n')))
    truncate -s -$((length + info + marker)) "$1"
}

add_modules() {  # add_modules ROOT: /lab/modules/NN-name.ko, named in load order
    local root=$1 file number=10 name
    mkdir -p "$root/lab/modules"
    for file in $(module_files) "$kernel_dir/e1000.ko"; do
        name=${file##*/}
        case $file in
            *.xz) xz -dc "$file" >"$root/lab/modules/$number-${name%.xz}" ;;
            *) cp "$file" "$root/lab/modules/$number-$name" ;;
        esac
        drop_signature "$root/lab/modules/$number-${name%.xz}"
        number=$((number + 1))
    done
}

pack_base() (
    set -e
    root=$1/tree
    mkdir -p "$root"/{bin,dev,etc,lab/instance,lab/guests,lib,lib64,proc,run,sys,tmp,usr/bin,usr/lib,var}
    depmod -b "$kernel_dir/tree" "$release"
    add_modules "$root"
    install -m 755 /bin/busybox "$root/bin/busybox"
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    install -m 755 "$image_source/init" "$root/init"
    install -m 755 "$image_source"/lab-{shell,load} "$root/bin/"
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    # shellcheck disable=SC2046,SC2086
    add_file "$root" "$qemu" "$trace_cmd" $(base_libraries) $qemu_firmware
    pack_cpio "$root" "$1/iso/base.cpio"
    rm -rf "$root"
)

# The kernel's parameters: no work that a lab has no use for; the TSC as fast as the emulated machine says it is
# (Bochs counts instructions, and claims the 3.5 GHz of the processor it imitates in CPUID).
readonly kernel_parameters="console=ttyS0,115200 loglevel=4 mitigations=off cryptomgr.notests random.trust_cpu=on
    tsc=reliable tsc_early_khz=$((machine_ips / 1000)) initcall_blacklist=trace_eval_init"

make_boot_cd() (
    set -e
    mkdir -p "$1/iso/isolinux"
    pack_base "$1"
    cp "$kernel_dir/vmlinuz" "$1/iso/vmlinuz"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$1/iso/isolinux/"
    printf '%s\n' 'default lab' 'label lab' ' kernel /vmlinuz' \
        " append initrd=/base.cpio $(echo $kernel_parameters)" 'prompt 0' 'timeout 1' >"$1/iso/isolinux/isolinux.cfg"
    xorriso -as mkisofs -quiet -o "$1/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
        -no-emul-boot -boot-load-size 4 -boot-info-table "$1/iso"
    rm -rf "$1/iso"
    echo "$release" >"$1/release"
)

make_system() {
    system_dir=$flavour_dir/system-$(base_inputs | fingerprint)
    if [ ! -e "$system_dir/boot.iso" ]; then
        rm -rf "$system_dir.part"
        step "packing the lab's system for $release" make_boot_cd "$system_dir.part"
        mv "$system_dir.part" "$system_dir"
    fi
    touch "$system_dir"
    # Systems of older inputs: another lab may just be starting from one, so not at once.
    find "$flavour_dir" -maxdepth 1 -name 'system-*' -mtime +0 -exec rm -rf {} +
}
