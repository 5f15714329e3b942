# The lab's kernel: the newest of the archive, unpacked (never installed), and its e1000 driver.
# Sourced by build. Sets: flavour_dir, release (uname -r), image_version, kernel_dir.

# The archive's newest kernel, found through a metapackage: linux-image-cloud-amd64 is 6.1's,
# linux-image-6.12-cloud-amd64 is 6.12's.
readonly flavour=${VMXSCOPE_LAB_KERNEL:-linux-image-cloud-amd64}
readonly flavour_dir=$lab_cache/$flavour

apt_lookup() {  # prints "RELEASE VERSION" of the metapackage's kernel; fails if apt knows none
    local package
    package=$(apt-cache depends "$flavour" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
    [ -n "$package" ] || return 1
    printf '%s %s\n' "${package#linux-image-}" \
        "$(apt-cache --no-all-versions show "$package" | sed -n 's/^Version: //p' | head -n 1)"
}

# Looks the kernel up. apt takes a second to answer, so its answer is kept as long as its package lists are the same.
find_kernel() {
    local answer=$flavour_dir/newest lists
    lists=$(stat_of /var/lib/apt/lists /var/lib/dpkg/status 2>/dev/null | fingerprint)
    mkdir -p "$flavour_dir"
    if ! up_to_date "$answer" "$lists"; then
        say "looking up the newest kernel of $flavour"
        if ! apt_lookup >"$answer"; then
            step "fetching the archive's package lists" as_root apt-get -q update
            apt_lookup >"$answer" || {
                rm -f "$answer"
                die "apt knows no kernel package for '$flavour'. Set VMXSCOPE_LAB_KERNEL to a metapackage of a" \
                    "cloud kernel, for instance linux-image-cloud-amd64."
            }
        fi
        stat_of /var/lib/apt/lists /var/lib/dpkg/status | fingerprint >"$answer.inputs"
    fi
    read -r release image_version <"$answer"
    kernel_dir=$flavour_dir/$release-$image_version
}

# download PACKAGE[=VERSION]: its .deb in the present directory. Old versions vanish from the archive, so stale lists
# are fetched anew once.
download() {
    apt-get -q -o APT::Sandbox::User=root download "$1" || { as_root apt-get -q update && apt-get -q -o APT::Sandbox::User=root download "${1%%=*}"; }
}

# Each of the following makes one thing and is not run again while that thing is there.

unpack_kernel() (
    set -e
    rm -rf "$kernel_dir.part" && mkdir -p "$kernel_dir.part/deb"
    cd "$kernel_dir.part/deb"
    download "linux-image-$release=$image_version"
    dpkg -x ./*.deb ../tree
    cd .. && rm -rf deb
    cp "tree/boot/vmlinuz-$release" vmlinuz
    rm -rf "$kernel_dir" && mv "$kernel_dir.part" "$kernel_dir"
)

install_headers() (
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get -q install -y --no-install-recommends "linux-headers-$release" ||
        { as_root apt-get -q update && as_root apt-get -q install -y --no-install-recommends "linux-headers-$release"; }
)

# Cloud kernels ship no driver for e1000, the only network card of Bochs that they could drive. Debian's kernel source
# has it; it builds by itself.
build_e1000() (
    set -e
    series=$(echo "$release" | grep -oE '^[0-9]+\.[0-9]+')
    work=$kernel_dir/e1000.part
    rm -rf "$work" && mkdir -p "$work" && cd "$work"
    download "linux-source-$series=$image_version" || download "linux-source-$series"
    dpkg --fsys-tarfile ./*.deb | tar -xO "./usr/src/linux-source-$series.tar.xz" |
        tar -xJ --strip-components=6 --wildcards '*/drivers/net/ethernet/intel/e1000/*'
    rm -f ./*.deb
    make -s -C "/usr/src/linux-headers-$release" M="$work" CONFIG_E1000=m modules
    strip --strip-debug e1000.ko
    mv e1000.ko "$kernel_dir/e1000.ko"
    rm -rf "$work"
)

make_kernel() {
    find_kernel
    [ -e "$kernel_dir/vmlinuz" ] || step "fetching Linux $release ($image_version)" unpack_kernel
    [ -e "/usr/src/linux-headers-$release/Makefile" ] || step "installing linux-headers-$release" install_headers
    [ -e "$kernel_dir/e1000.ko" ] || step "building the e1000 network driver for $release" build_e1000
}
