#!/bin/bash
# For a fresh Debian 12 or 13: installs missing packages, builds cgview, mounts it at /mnt/cgview and shows the busiest
# cgroups: for half a minute on a terminal, else once. The mount stays until "umount /mnt/cgview".
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
examples/cgtop.sh "$mountpoint" 2 $rounds   # reads one file, stats.tree, for all cgroups

echo
echo "% of a CPU, threads, cgroup. More is in the file stats of each directory. That of the root:"
cat "$mountpoint/stats"
echo "The mount stays. To remove it: umount $mountpoint"
