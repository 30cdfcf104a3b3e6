#!/bin/sh
# Makes rootfs/out/busybox.tar, the image that is built into the miniku binary.
#
# It holds Debian's statically linked busybox with a link for each of its applets, and the few files a
# program expects to find. Sorted, owned by root, dated 1970, fixed modes: the same busybox gives the same
# bytes, hence the same digest, on every machine. Needs neither root nor an installed busybox: if there is
# none, the package busybox-static is downloaded with apt-get and only unpacked.
#
#   rootfs/build.sh                      # from the distribution's package
#   BUSYBOX=/path/to/busybox rootfs/build.sh
set -eu
umask 022
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
out=$here/out
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" "$work/deb"
# apt-get as root drops to the user _apt for the download.
chmod 755 "$work"; chmod 777 "$work/deb"

busybox=${BUSYBOX:-}
if [ -z "$busybox" ]; then
    if [ "$(dpkg-query -W -f='${Status}' busybox-static 2>/dev/null)" = "install ok installed" ]; then
        busybox=/bin/busybox
    else
        if ! (cd "$work/deb" && apt-get download -qq busybox-static); then
            echo "rootfs/build.sh: cannot download busybox-static: run 'apt-get update', or set BUSYBOX=/path/to/a/static/busybox" >&2
            exit 1
        fi
        dpkg-deb -x "$work"/deb/busybox-static_*.deb "$work/deb/tree"
        busybox=$work/deb/tree/bin/busybox
        [ -e "$busybox" ] || busybox=$work/deb/tree/usr/bin/busybox
    fi
fi
if ! "$busybox" true; then
    echo "rootfs/build.sh: $busybox does not run here" >&2
    exit 1
fi

root=$work/root
mkdir -p "$root"/bin "$root"/dev "$root"/etc "$root"/home "$root"/proc "$root"/root "$root"/run "$root"/sys \
    "$root"/tmp "$root"/usr/bin "$root"/usr/sbin "$root"/sbin "$root"/var/log "$root"/var/tmp
install -m 755 "$busybox" "$root/bin/busybox"
# Links instead of copies; relative, so that they hold wherever the tree is looked at.
"$busybox" --list | while read -r applet; do
    case $applet in
        busybox | linuxrc) ;;
        *) ln -s busybox "$root/bin/$applet" ;;
    esac
done
# Scripts say #!/usr/bin/env.
ln -s ../../bin/env "$root/usr/bin/env"

cat > "$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
END
cat > "$root/etc/group" <<'END'
root:x:0:
daemon:x:1:
tty:x:5:
www-data:x:33:
nogroup:x:65534:
END
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
printf 'NAME="BusyBox"\nID=busybox\nPRETTY_NAME="BusyBox (built into miniku)"\n' > "$root/etc/os-release"
# The pod's own are mounted over these.
: > "$root/etc/hosts"
: > "$root/etc/hostname"
: > "$root/etc/resolv.conf"

find "$root" -type d -exec chmod 755 {} +
find "$root" -type f ! -perm /111 -exec chmod 644 {} +
chmod 700 "$root/root"
chmod 1777 "$root/tmp" "$root/var/tmp"

tar -C "$root" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$out/busybox.tar.tmp" .
mv "$out/busybox.tar.tmp" "$out/busybox.tar"
"$busybox" 2>&1 | head -n 1
(cd "$here" && sha256sum out/busybox.tar)
