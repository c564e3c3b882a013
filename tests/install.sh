# shellcheck shell=bash
# Sourced by tests/run.sh and examples/demo.sh: installs what is missing on Debian 12 or 13, and leaves apt alone when
# nothing is.

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 2; }

# What building cgview takes, and mounting it by mount(8).
build_packages=(gcc libc6-dev make pkg-config clang libelf-dev zlib1g-dev fuse3 mount)

install_packages() {
	local package missing=()
	for package; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${missing[*]}"
	refresh_package_lists
	# --no-remove: never at the cost of what is there. The services of what is installed are not started.
	forbid_services
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove "${missing[@]}" >&2 ||
		{ allow_services; die "apt-get cannot install ${missing[*]}"; }
	allow_services
}

refresh_package_lists() {
	[ -z "${lists_are_fresh-}" ] || return 0
	apt-get update -qq >&2 || say "apt-get update complained"
	lists_are_fresh=1
}

policy=/usr/sbin/policy-rc.d

forbid_services() {
	[ ! -e $policy ] || return 0
	printf '#!/bin/sh\n# Of cgview: no service starts while packages are installed.\nexit 101\n' >$policy
	chmod +x $policy
}

allow_services() {
	if grep -q '^# Of cgview' $policy; then rm $policy; fi
}

# Whether version $1 is at least $2.
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# A Rust toolchain as new as Cargo.toml asks for, with rustfmt and clippy: the one that is there, or Debian's. Debian 12
# and 13 keep a recent one, for building browsers, beside the one that they were released with.
install_rust() {
	local needed have candidate suffix
	needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml")
	PATH=$PATH:$HOME/.cargo/bin
	have=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || have=
	if [ -n "$have" ] && at_least "$have" "$needed"; then return; fi
	say "cargo ${have:-is not installed}; cgview needs $needed"
	refresh_package_lists
	for suffix in '' -web; do
		candidate=$(apt-cache policy "cargo$suffix" | sed -n 's/^ *Candidate: //p')
		if at_least "${candidate:-0}" "$needed"; then
			install_packages "cargo$suffix" "rustfmt$suffix" "rust$suffix-clippy"
			hash -r
			return
		fi
	done
	die "neither cargo nor cargo-web of this Debian is that new: install Rust $needed or newer by rustup, then try again"
}
