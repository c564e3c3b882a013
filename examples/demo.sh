#!/bin/bash
# On a fresh Debian 12 or 13: installs what is missing, builds cgview, mounts it at /mnt/cgview and shows the busiest
# cgroups, live for half a minute or, where the output is no terminal, once. The mount stays; "umount /mnt/cgview" ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/install.sh
. tests/install.sh

mountpoint=/mnt/cgview
rounds=1
if [ -t 1 ]; then rounds=15; fi

# Lines of a path, a key and a value. A cgroup that goes meanwhile is left out.
snapshot() {
	find "$mountpoint" -type f -name stats \
		-exec grep -HsE '^(usage_usec|memory_current_bytes|nr_threads) ' {} + | sed 's|/stats:| |' || true
}

# The ten cgroups which used the most CPU time between two snapshots.
busiest() {
	awk -v seconds="$3" -v top="$mountpoint" '
		{ value = $NF; key = $(NF - 1); path = substr($0, 1, length($0) - length(key) - length(value) - 2) }
		NR == FNR { before[path, key] = value; next }
		key == "usage_usec" && (path, key) in before { cpu[path] = (value - before[path, key]) / seconds / 1e4 }
		key == "memory_current_bytes" { memory[path] = sprintf("%.1f", value / 1048576) }
		key == "nr_threads" { threads[path] = value }
		END {
			for (path in cpu) {
				name = path == top ? "/" : substr(path, length(top) + 1)
				printf "%8.1f %10s %8d  %s\n", cpu[path], (path in memory ? memory[path] : "-"), threads[path], name
			}
		}' "$1" "$2" | sort -k1,1nr -k4 | awk 'NR <= 10'
}

[ "$(id -u)" = 0 ] || die "run it as root"
install_packages "${build_packages[@]}"
install_rust
cargo build --release --locked

mkdir -p "$mountpoint"
if findmnt -t fuse.cgview "$mountpoint" >/dev/null; then umount "$mountpoint"; fi
target/release/cgview "$mountpoint"

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
started=$EPOCHREALTIME
snapshot >"$work/before"
for ((round = 0; round < rounds; round++)); do
	sleep 2
	now=$EPOCHREALTIME
	snapshot >"$work/now"
	seconds=$(awk -v from="$started" -v to="$now" 'BEGIN { print to - from }')
	busiest "$work/before" "$work/now" "$seconds" >"$work/busiest"
	if [ -t 1 ]; then printf '\033[H\033[J'; fi
	printf '%8s %10s %8s  %s\n' 'CPU %' 'MiB' 'threads' "cgroup ($(grep -c nr_threads "$work/now") below $mountpoint)"
	cat "$work/busiest"
	mv "$work/now" "$work/before"
	started=$now
done
echo
echo "This is from the files $mountpoint/<cgroup>/stats, such as that of the root:"
cat "$mountpoint/stats"
echo "The mount stays. To end it: umount $mountpoint"
