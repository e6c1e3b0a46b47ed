#!/bin/sh
# Builds hq as one static file, checks that it is one, and runs it where there are no libraries.
# Usage: scripts/build-static.sh [DESTINATION]   (default: hq-static in the target directory)
# Needs libhwloc.a and its headers (Debian: libhwloc-dev); libudev, which that asks for, is stubbed in the program.
set -eu
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
target_dir=${CARGO_TARGET_DIR:-target}
destination=${1:-$target_dir/hq-static}

# Without pkg-config the build script asks for no further libraries. --target keeps the flag from proc macros.
HWLOC_NO_PKG_CONFIG=1 RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
    cargo build --release --locked --target "$target" --bin hq
mkdir -p "$(dirname "$destination")"
cp "$target_dir/$target/release/hq" "$destination"

case $(file -b "$destination") in
*static*) ;;
*) echo "$destination is not static: $(file -b "$destination")" >&2; exit 1 ;;
esac
if ldd "$destination" 2>/dev/null | grep '=>'; then
    echo "$destination needs libraries" >&2
    exit 1
fi

# An empty root: by chroot as root, else in a user namespace where the system allows one.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp "$destination" "$root/hq"
if [ "$(id -u)" = 0 ]; then
    chroot "$root" /hq --version
elif unshare --user --map-root-user true 2>/dev/null; then
    unshare --user --map-root-user chroot "$root" /hq --version
else
    echo "Not run in an empty root: neither root nor user namespaces" >&2
    "$destination" --version
fi
ls -l "$destination"
