# What ./run and ./test share: steps that say what they do, the packages, the build, the lab's image. Sourced by them, in
# the project's directory. Everything here is quick when there is nothing to do.
# shellcheck shell=bash

export HOME=${HOME:-/root}  # some CI runners have none; the lab's cache is under it
readonly build_dir=build/release
readonly silence=4          # seconds after which a step says that it goes on

say() { echo "==> $*"; }

die() {
    echo "error: $*" >&2
    exit 1
}

# step TEXT COMMAND…: runs COMMAND with its output in a log; every few seconds shows the time and the log's last line,
# and the log's end if COMMAND fails.
step() {
    local text=$1 log pid started=$SECONDS told=$SECONDS
    shift
    say "$text"
    log=$(mktemp)
    set -m  # a process group of its own, to be ended as a whole
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    set +m
    trap 'kill -- "-$pid" 2>/dev/null; rm -f "$log"; exit 130' INT TERM HUP
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.1
        if ((SECONDS - told >= silence)); then
            told=$SECONDS
            printf '    %4d s  %s\n' $((SECONDS - started)) "$(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)"
        fi
    done
    trap - INT TERM HUP
    if ! wait "$pid"; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        die "this failed: $text. What it said last is above."
    fi
    rm -f "$log"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

missing_packages() {
    local package
    while read -r package _; do
        case $package in '' | '#'*) continue ;; esac
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done <scripts/packages
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 "$@"; }

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "packages are missing (${missing[*]}). Run this as root, or install sudo."
        sudo -v || die "packages are missing (${missing[*]}), and installing them needs root."
    fi
    step "fetching the package lists" apt update
    step "installing ${#missing[@]} packages: ${missing[*]}" apt install -y --no-install-recommends "${missing[@]}"
}

# build [TARGET…]: those targets, or everything
build() {
    [ -e "$build_dir/build.ninja" ] || step "configuring $build_dir" \
        cmake --preset release -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache
    local targets=()
    [ $# -eq 0 ] || targets=(--target "$@")
    step "building${*:+ }$*" cmake --build --preset release "${targets[@]}"
}

# lab_image [CPUS]: it tells its own progress
lab_image() { plugins/lab/image/build --product-dir "$build_dir" --cpus "${1:-1}"; }
