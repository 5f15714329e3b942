# Shared by the image's build steps: where things are, and steps that say what they do and are never long silent.
# Sourced by build; everything here is a function or a readonly path.

lab_cache=${VMXSCOPE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vmxscope}/lab
readonly lab_cache

die() {  # die SENTENCE [REMEDY]: ends the build with a sentence, and a non-zero status
    echo "error: $*" >&2
    exit 1
}

say() { echo "lab image: $*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

# step TEXT COMMAND…: runs COMMAND with its output in a log, tells every 3 s that it goes on, and shows the log's end if
# it fails. COMMAND runs in a subshell: it may change nothing in this one.
step() {
    local text=$1 log started=$SECONDS pid told=0
    shift
    log=$(mktemp)
    say "$text"
    ("$@") >"$log" 2>&1 9>&- &
    pid=$!
    trap 'kill -TERM "$pid"; wait "$pid"; exit 130' INT TERM HUP
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.1
        if [ $((SECONDS - started - told)) -ge 3 ]; then
            told=$((SECONDS - started))
            say "$text … ${told} s"
        fi
    done
    if ! wait "$pid"; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "This step of the lab's image failed: $text. What it printed last is above."
    fi
    trap - INT TERM HUP
    rm -f "$log"
}

# hold FILE: one build at a time goes on from here; let_go ends that.
hold() {
    exec 9>"$1"
    until flock -w 3 9; do say "waiting for another build of the image to end"; done
}
let_go() { exec 9>&-; }

# The names, sizes and times of files, as text for a fingerprint.
stat_of() { stat -L -c '%n %s %Y' -- "$@"; }

fingerprint() { sha256sum | cut -c1-32; }

# up_to_date FILE FINGERPRINT: was FILE made from inputs with this fingerprint?
up_to_date() { [ -e "$1" ] && [ "$(cat "$1.inputs" 2>/dev/null)" = "$2" ]; }

# The libraries a program needs, one path a line, as they are found on this machine (its ELF interpreter too).
libraries_of() {
    ldd "$@" 2>/dev/null | sed -nE 's/.*=> (\/[^ ]+) .*/\1/p; s/^[[:space:]]*(\/[^ ]+) \(0x.*/\1/p' | sort -u
}

# pack_cpio DIRECTORY FILE: an uncompressed initramfs archive (an emulated CPU is slow at decompression).
pack_cpio() {
    (cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --null --quiet -o -H newc -R 0:0) >"$2.new"
    mv "$2.new" "$2"
}
