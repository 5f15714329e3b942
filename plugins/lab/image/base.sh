# base.cpio: what all labs share and what changes rarely: /init, busybox, KVM's modules, the network driver, QEMU.
# Sourced by build, after kernel.sh.

readonly qemu=/usr/bin/qemu-system-x86_64
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

base_inputs() {
    echo "$release $image_version"
    cat "$image_source"/{base.sh,common.sh,kernel.sh,init,lab-shell}
    # shellcheck disable=SC2046,SC2086 # lists of paths without blanks
    stat_of /bin/busybox "$qemu" $(libraries_of "$qemu") $qemu_firmware
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

add_modules() {  # add_modules ROOT: /lab/modules/NN-name.ko, named in load order
    local root=$1 file number=10 name
    mkdir -p "$root/lab/modules"
    for file in $(module_files) "$kernel_dir/e1000.ko"; do
        name=${file##*/}
        case $file in
            *.xz) xz -dc "$file" >"$root/lab/modules/$number-${name%.xz}" ;;
            *) cp "$file" "$root/lab/modules/$number-$name" ;;
        esac
        number=$((number + 1))
    done
}

pack_base() (
    set -e
    root=$flavour_dir/base.tree
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,etc,lab/instance,lab/guests,lib,lib64,proc,run,sys,tmp,usr/bin,usr/lib,var}
    depmod -b "$kernel_dir/tree" "$release"
    add_modules "$root"
    install -m 755 /bin/busybox "$root/bin/busybox"
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    install -m 755 "$image_source/init" "$root/init"
    install -m 755 "$image_source/lab-shell" "$root/bin/lab-shell"
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    # shellcheck disable=SC2046,SC2086
    add_file "$root" "$qemu" $(libraries_of "$qemu") $qemu_firmware
    pack_cpio "$root" "$flavour_dir/base.cpio"
    rm -rf "$root"
)

make_base() {
    local inputs
    inputs=$(base_inputs | fingerprint)
    if ! up_to_date "$flavour_dir/base.cpio" "$inputs"; then
        step "packing the lab's system for $release" pack_base
        ln -sfn "$kernel_dir/vmlinuz" "$flavour_dir/vmlinuz"
        echo "$release" >"$flavour_dir/release"
        echo "$inputs" >"$flavour_dir/base.cpio.inputs"
    fi
}
