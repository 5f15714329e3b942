# product.cpio: what this project itself puts into the lab: the kernel module, the agent, the guest hypervisors.
# Small and apart from the system, so that a rebuilt agent is in the next lab within a second. Sourced by build.
# Sets: product_file, named by its inputs, so that build directories that share a cache do not get each other's.

module_sources() { find "$source_dir/plugins/kvm/module" -type f \( -name '*.[ch]' -o -name Kbuild -o -name Makefile \) 2>/dev/null | LC_ALL=C sort; }

make_module() {  # vmxscope.ko, built with Kbuild against the lab kernel's headers in a copy of its sources
    local work=$flavour_dir/module inputs
    if [ ! -e "$source_dir/plugins/kvm/module/Kbuild" ] && [ ! -e "$source_dir/plugins/kvm/module/Makefile" ]; then
        say "plugins/kvm/module has no Kbuild: the lab will have no vmxscope.ko"
        return
    fi
    inputs=$({ echo "$release $image_version"; module_sources | xargs -d '\n' sha256sum; } | fingerprint)
    up_to_date "$flavour_dir/vmxscope.ko" "$inputs" && return
    build_module() (
        set -e
        rm -rf "$work" && mkdir -p "$work"
        cp -r "$source_dir/plugins/kvm/module/." "$work/"
        make -s -C "/usr/src/linux-headers-$release" M="$work" modules
        cp "$work/vmxscope.ko" "$flavour_dir/vmxscope.ko"
    )
    step "building vmxscope.ko for $release" build_module
    echo "$inputs" >"$flavour_dir/vmxscope.ko.inputs"
}

product_files() {  # what of the build directory belongs into the lab, as far as it has been built
    ls "$product_dir"/bin/vmxscope-agent "$product_dir"/guests/*.elf 2>/dev/null || true
}

pack_product() (
    set -e
    root=$(mktemp -d "$flavour_dir/product.tree.XXXXXX")
    mkdir -p "$root/lab/modules" "$root/lab/guests" "$root/usr/bin"
    if [ -e "$flavour_dir/vmxscope.ko" ]; then
        strip --strip-debug -o "$root/lab/modules/vmxscope.ko" "$flavour_dir/vmxscope.ko"
    fi
    for file in $(product_files); do
        case $file in
            *.elf) strip --strip-debug -o "$root/lab/guests/${file##*/}" "$file" ;;
            *) strip --strip-debug -o "$root/usr/bin/${file##*/}" "$file"
               # shellcheck disable=SC2046
               add_file "$root" $(comm -23 <(libraries_of "$file") <(base_libraries | sort -u)) ;;
        esac
    done
    pack_cpio "$root" "$1"
    rm -rf "$root"
)

make_product() {
    local inputs
    make_module
    [ -e "$product_dir/bin/vmxscope-agent" ] ||
        say "no vmxscope-agent in $product_dir/bin yet: the lab will have none"
    inputs=$({ cat "$image_source/product.sh" "$flavour_dir/vmxscope.ko.inputs" 2>/dev/null
               product_files | xargs -rd '\n' sha256sum; } | fingerprint)
    product_file=$flavour_dir/product-$inputs.cpio
    [ -e "$product_file" ] || step "packing the agent, the module and the guests" pack_product "$product_file"
    touch "$product_file"
    find "$flavour_dir" -maxdepth 1 -name 'product-*' -mtime +0 -delete
}
