#!/bin/bash
# Which cgroups use the CPUs? A line for each cgroup: % of one CPU, threads, path.  cgtop.sh [DIRECTORY [SECONDS [ROUNDS]]]
now() { awk 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { print $at["id"], $at["usage_usec"], $at["nr_threads"], $1 }' "$dir/stats.tree" | LC_ALL=C sort; }
dir=${1:-/mnt/cgview} seconds=${2:-2} rounds=${3:--1} old=$(now)
while ((rounds--)) && sleep "$seconds" && new=$(now); do
	[ ! -t 1 ] || clear; LC_ALL=C join <(echo "$old") <(echo "$new") | awk -v s="$seconds" '{ printf "%6.1f %7s %s\n", ($5 - $2) / s / 1e4, $6, $7 }' | LC_ALL=C sort -rn | head -20; old=$new
done
