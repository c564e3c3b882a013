#!/bin/bash
# On a fresh Debian 12 or 13: installs what is missing, builds cgview, mounts it at /mnt/cgview and shows the busiest
# cgroups, live for half a minute or, where the output is no terminal, once. The mount stays; "umount /mnt/cgview" ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/install.sh
. tests/install.sh

mountpoint=/mnt/cgview

[ "$(id -u)" = 0 ] || die "run it as root"
install_packages "${build_packages[@]}"
install_rust
cargo build --release --locked

mkdir -p "$mountpoint"
if findmnt -t fuse.cgview "$mountpoint" >/dev/null; then umount "$mountpoint"; fi
target/release/cgview "$mountpoint"

echo
if [ -t 1 ]; then rounds=15; else rounds=1; fi
examples/cgtop.sh "$mountpoint" 2 $rounds   # one file, stats.tree, has the stats of all

echo
echo "% of a CPU, threads, cgroup. The same and more is in the file stats of each directory; of the root:"
cat "$mountpoint/stats"
echo "The mount stays. To end it: umount $mountpoint"
