#!/bin/sh
# Runs the runtime's integration tests under pure cgroup version 2, whatever this machine has: in an
# emulated machine (no KVM needed) with Debian's cloud kernel and an initramfs made of the static test
# binary, its pod-init and the built-in image's busybox. The kernel package is only unpacked. Takes less
# than a minute.
#
#   runtime/tests/cgroup-v2.sh                        # all
#   runtime/tests/cgroup-v2.sh out_of_memory limits   # those whose names contain one of these
#
# Exit code: that of the tests; 2 if they could not be run. Needs qemu-system-x86_64, which is installed
# with apt-get if it is missing and this is root; cpio is not needed, busybox has it.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "cgroup-v2.sh: $*" >&2
    exit 2
}

command -v qemu-system-x86_64 >/dev/null ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-system-x86 >/dev/null ||
    fail "install qemu-system-x86 first"

# The kernel: what the package linux-image-cloud-amd64 depends on.
mkdir "$work/kernel"
chmod 755 "$work"
chmod 777 "$work/kernel"
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
[ -n "$package" ] || fail "no package linux-image-cloud-amd64 is known: run 'apt-get update'"
(cd "$work/kernel" && apt-get download -qq "$package") || fail "cannot download $package"
dpkg-deb --fsys-tarfile "$work"/kernel/*.deb | tar -xf - -C "$work/kernel" --wildcards './boot/vmlinuz-*' '*/overlayfs/overlay.ko*'

# The tests, as built for this machine. They are static, so nothing else is needed.
cd "$here"
# Of the whole workspace, so that what its tests were built from is not built again.
cargo test -q --workspace --locked --test pods --no-run
tests=$(cargo test --workspace --locked --test pods --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/pods-[^"]*\)".*/\1/p' | tail -n 1)
[ -x "$tests" ] || fail "the test binary was not found"
pod_init=$(dirname "$tests")/../miniku-pod-init

root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/new"
tar -xf rootfs/out/busybox.tar -C "$root" ./bin
strip -o "$root/pods" "$tests"
strip -o "$root/miniku-pod-init" "$pod_init"
module=$(find "$work/kernel" -name 'overlay.ko*')
case $module in
    *.xz) xz -dc "$module" > "$root/overlay.ko" ;;
    *) cp "$module" "$root/overlay.ko" ;;
esac
filter=$*

cat > "$root/init" <<'END'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
insmod /overlay.ko
# pivot_root does not work on the kernel's first root.
mount -t tmpfs -o mode=755 tmpfs /new
cp -a /bin /pods /miniku-pod-init /main /new
mkdir /new/dev /new/proc /new/sys /new/tmp /new/etc
umount /proc
exec switch_root /new /main
END
cat > "$root/main" <<END
#!/bin/sh
export PATH=/bin MINIKU_POD_INIT=/miniku-pod-init
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /tmp
# As systemd mounts it.
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
ip link set lo up
echo "Linux \$(uname -r), cgroup controllers: \$(cat /sys/fs/cgroup/cgroup.controllers)"
/pods --test-threads=2 $filter
echo "tests ended with code \$?"
poweroff -f
END
chmod 755 "$root/init" "$root/main"
(cd "$root" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null | gzip -1 > "$work/initramfs.gz")

# A kernel or a test that hangs must not hang whoever runs this.
timeout 900 qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1536 -nodefaults -no-reboot -display none \
    -serial stdio -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initramfs.gz" \
    -append "console=ttyS0 quiet panic=-1 random.trust_cpu=on" </dev/null | tr -d '\r' | tee "$work/serial"
code=$(sed -n 's/^tests ended with code \([0-9]*\)$/\1/p' "$work/serial")
[ -n "$code" ] || fail "the machine stopped before the tests had ended"
exit "$code"
