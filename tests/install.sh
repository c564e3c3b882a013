# shellcheck shell=bash
# Sourced by the scripts that need packages: installs what is missing on Debian 12 or 13, and leaves apt alone when
# nothing is.

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 2; }

# What building cgview takes, and mounting it by mount(8). cargo needs ca-certificates to fetch crates.
# shellcheck disable=SC2034  # of those who source this
build_packages=(gcc libc6-dev make pkg-config clang libelf-dev zlib1g-dev ca-certificates 'fuse3|fuse' mount util-linux)

# Why something cannot be had, a line for each package.
refused=()

# Installs the packages that are missing. "A|B": either will do, and A is installed if none is there. Returns 1 when one
# cannot be had; the others are installed all the same.
install_packages() {
	local package output missing=() before=${#refused[@]}
	for package; do is_installed "$package" || missing+=("${package%%|*}"); done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${missing[*]}"
	refresh_package_lists
	if apt_install -qq "${missing[@]}" >&2; then return 0; fi
	# apt refuses all for one.
	for package in "${missing[@]}"; do
		output=$(apt_install -q "$package" 2>&1) || refuse "package $package cannot be installed: $(apt_reason <<<"$output")"
	done
	[ ${#refused[@]} -eq "$before" ]
}

is_installed() {
	local package
	for package in ${1//|/ }; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ] || return 0
	done
	return 1
}

refuse() {
	refused+=("$*")
	say "$*"
}

refresh_package_lists() {
	[ -z "${lists_are_fresh-}" ] || return 0
	apt-get update -qq >&2 || say "apt-get update complained"
	lists_are_fresh=1
}

# --no-remove: never at the cost of what is there. The services of what is installed are not started.
apt_install() (
	trap allow_services EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	forbid_services
	LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove "$@"
)

policy=/usr/sbin/policy-rc.d

forbid_services() {
	[ ! -e "$policy" ] || return 0
	printf '#!/bin/sh\n# Of cgview: no service starts while packages are installed.\nexit 101\n' >"$policy"
	chmod +x "$policy"
}

allow_services() {
	if grep -qs '^# Of cgview' "$policy"; then rm "$policy"; fi
}

# The reason in one line, from what apt-get said.
apt_reason() {
	awk '
		/^The following packages will be REMOVED:/ { removing = 1; next }
		removing && /^  / { removed = removed $0; next }
		{ removing = 0 }
		/^ .* : (Depends|PreDepends|Breaks|Conflicts): / { sub(/^ */, ""); unmet = unmet "; " $0 }
		/^E: / { sub(/^E: /, ""); errors = errors "; " $0 }
		END {
			if (removed) print "it would remove" substr(removed, 2)
			else print substr(errors unmet, 3)
		}'
}

# Whether version $1 is at least $2.
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# A Rust toolchain as new as Cargo.toml asks for, with rustfmt and clippy: the one that is there, or Debian's. Debian 12
# and 13 keep a recent one, for building browsers, beside the one that they were released with. Returns 1 when there is
# none.
install_rust() {
	local needed have candidate suffix codename
	needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml")
	case $PATH in */.cargo/bin*) ;; *) PATH=$PATH:${HOME:-/root}/.cargo/bin ;; esac
	have=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || have=
	if [ -n "$have" ] && at_least "$have" "$needed"; then return 0; fi
	say "cargo ${have:-is not installed}; cgview needs $needed"
	refresh_package_lists
	for suffix in '' -web; do
		candidate=$(apt-cache policy "cargo$suffix" | sed -n 's/^ *Candidate: //p')
		if at_least "${candidate:-0}" "$needed"; then
			install_packages "cargo$suffix" "rustfmt$suffix" "rust$suffix-clippy" || return 1
			hash -r
			return 0
		fi
	done
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	refuse "Rust $needed cannot be installed: neither cargo nor cargo-web of the apt sources is that new." \
		"On Debian 12 and 13 add the suites $codename-security and $codename-updates to them, or install Rust by rustup"
	return 1
}

# The address of the archive that has SUITE, from the machine's own apt sources, whatever their format.
archive_of() {
	env -u APT_CONFIG apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/$1/main/binary-.*|\1|p" | sort -u |
		awk '!first { first = $0 } /\/debian\/?$/ && !best { best = $0 } END { print best ? best : first }'
}
