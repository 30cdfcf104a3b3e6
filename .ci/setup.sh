# What ./miniku and ./check need of a machine. Read by them; not run by itself.

# Behind sudo it goes on as who typed it, who shall own what is built; root is asked for where it is needed.
if [ "$(id -u)" = 0 ] && [ "${SUDO_USER:-root}" != root ]; then
    exec sudo -u "$SUDO_USER" -H "$0" "$@"
fi

export PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"

fail() {
    echo "$0: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root and there is no sudo: $*"
    fi
}

# The package lists, once, and only if something is to be fetched.
apt_update() {
    [ -z "${apt_updated:-}" ] || return 0
    as_root apt-get update -qq || fail "apt-get update does not work here"
    apt_updated=yes
}

# need TOOL PACKAGE...: installs the packages unless there is the tool (a file, if it begins with a slash).
need() {
    tool=$1
    shift
    has "$tool" && return
    command -v apt-get >/dev/null || fail "$tool is missing, and without apt-get it cannot be installed: $*"
    apt_update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >/dev/null ||
        fail "cannot install $*"
    has "$tool" || fail "$tool is missing after the installation of $*"
}

has() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# A toolchain as new as Cargo.toml says. Older ones fail too, but not with this sentence.
need_rust() {
    want=$(sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' Cargo.toml)
    have=$(cargo --version) || fail "no cargo works here: install Rust 1.$want or newer, see https://rustup.rs"
    minor=${have#cargo 1.}
    [ "${minor%%.*}" -ge "$want" ] || fail "Rust 1.$want or newer is needed, and this is $have: rustup update stable"
}

# The image that is built into the binary.
need_image() {
    [ rootfs/out/busybox.tar -nt rootfs/build.sh ] && return
    dpkg-query -W busybox-static >/dev/null 2>&1 || apt_update
    rootfs/build.sh >&2
}
