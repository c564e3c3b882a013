#!/bin/bash
# Installs what is missing on a Debian 12 or 13 and runs every check and every test. For a machine whose cgroups, mounts
# and packages may be touched: it takes root.
# usage: tests/run.sh [STEP...]      default: all of them, in the order of the list below
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/install.sh
. tests/install.sh

all_steps=(format scripts ascii licences clippy tests install demo guests)

# What the tests call, beyond what the build needs.
test_packages=(
	attr bpftool curl gawk jq libcap2-bin procps psmisc python3 strace tar   # shells and readers
	'busybox-static|busybox'
	rust-coreutils                                          # /usr/lib/cargo/bin/coreutils/cat reads by splice
	prometheus prometheus-node-exporter protobuf-compiler   # promtool, a scrape, protoc
	libbpf-dev                                              # what authors of views compile with
)

# What each step needs, and Rust apart from the first two. tests/vm/run installs what it needs itself.
declare -A packages=(
	[scripts]=shellcheck
	[ascii]=''
	[format]=clang-format
	[licences]='ca-certificates jq'
	[clippy]=${build_packages[*]}
	[tests]="${build_packages[*]} ${test_packages[*]}"
	[install]=${build_packages[*]}
	[demo]=${build_packages[*]}
	[guests]="${build_packages[*]} ${test_packages[*]}"
)

sources() { find . \( -path ./target -o -path ./.git \) -prune -o -type f "$@" -print0; }

check_format() {
	cargo fmt --check
	sources \( -name '*.c' -o -name '*.h' \) | xargs -0 clang-format --dry-run -Werror
}

check_scripts() {
	sources -size -100k | xargs -0 grep -lZ '^#!.*sh$' | xargs -0 shellcheck -xa
}

check_ascii() {
	local found
	found=$(sources ! -name Cargo.lock | LC_ALL=C xargs -0 grep -nP '[^\x00-\x7F]') || true
	[ -z "$found" ] || { echo "not ASCII:"; echo "$found"; return 1; }
}

# As cargo-deny does, which takes longer to build than all the rest. It also knows advisories, from a database of its own.
check_licences() {
	local refused
	refused=$(cargo metadata --format-version 1 --locked | jq -r --argjson allowed "$(sed -n 's/^allow = //p' deny.toml)" '
		def allowed: split(" AND ") | all(gsub("[()]"; "") | [splits(" OR |/")] | any(IN($allowed[])));
		.packages[] | select(.source != null)
		| select((.license // "none" | allowed and true) and (.source | startswith("registry+")) | not)
		| "\(.name) \(.version): licence \(.license), from \(.source)"')
	[ -z "$refused" ] || { echo "not allowed by deny.toml:"; echo "$refused"; return 1; }
}

check_clippy() { cargo clippy --locked --all-targets -- -D warnings; }

# One at a time, as in the guests: many of them watch what the whole machine has.
check_tests() {
	local status=0
	exec 3> >(time_tests >target/test-times)
	cargo test --locked --no-fail-fast -- --include-ignored --test-threads=1 2>&1 3>&- | tee /dev/fd/3 || status=$?
	exec 3>&-
	wait $!
	echo
	echo "slowest tests:"
	# Not head, which ends before sort has written all: SIGPIPE would fail the step now and then.
	sort -rn target/test-times | sed -n 1,10p
	return "$status"
}

# Reads what cargo test prints, as it comes, and prints the seconds of each test. One at a time, a test takes from the
# end of the one before it to its own line's end; children of a test may print in between.
time_tests() {
	local line binary='' test='' started=0 now
	while IFS= read -r line; do
		now=${EPOCHREALTIME/[.,]/}
		case $line in
			*' Running '*' ('*) binary=${line##*Running } binary=${binary%% (*} ;;
			'running '*' test'*) started=$now ;;
			'test '*' ... '*) test=${line#test } test=${test%% ... *} ;;
		esac
		case $line in
			*ok|*FAILED)
				[ -z "$test" ] || printf '%8.2f s  %s: %s\n' "$(((now - started) / 10000))e-2" "$binary" "$test"
				test='' started=$now
				;;
		esac
	done
}

check_install() {
	local root=$PWD/target/installed
	cargo install --locked --quiet --path . --root "$root"
	"$root/bin/cgview" --version
}

check_demo() {
	examples/demo.sh
	umount /mnt/cgview
}

check_guests() { tests/vm/run; }

# The cells of the guests' table of tests that say $1.
count_cells() {
	awk -v word="$1" '
		/^(guest|[^ ]+::[^ ]+) .*(ok|FAILED|-) *$/ { for (i = 2; i <= NF; i++) n += $i == word }
		END { print n + 0 }' "$2"
}

# The tests that cargo test's output $1 says have failed, each with the first lines of what it printed. Names come from
# these blocks: a child may print into the line "test ... FAILED".
failed_tests() {
	awk '
		/^---- .* stdout ----$/ { print "failed: " $2; lines = 12; next }
		/^failures:$/ { lines = 0 }
		lines > 0 && NF { print "    " substr($0, 1, 300); lines-- }' "$1"
}

# Installs what a step needs. One that misses something fails, but is run: what it does without that counts.
provide() {
	# shellcheck disable=SC2086  # a list
	install_packages ${packages[$1]} || true
	case $1 in
		scripts|ascii) ;;
		*) install_rust || true ;;
	esac
}

# Runs one step and adds to the totals: tests one by one, anything else as a whole.
run_step() {
	local step=$1 started=$SECONDS status=0 log=target/run-$1.log ok bad reason
	echo "== $step"
	refused=()
	provide "$step"
	set +e   # or "set -e" would be ignored inside the step
	(set -e; "check_$step") </dev/null 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	set -e
	case $step in
		tests)
			ok=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$log")
			bad=$(awk '/^test result:/ { n += $6 } END { print n + 0 }' "$log")
			;;
		guests)
			ok=$(count_cells ok "$log")
			bad=$(count_cells FAILED "$log")
			;;
		*) ok=$((status == 0 && ${#refused[@]} == 0)) bad=0 ;;
	esac
	# A step that fails without a failed test of its own, as by not being built, is a failure.
	if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
	if [ "$ok" -eq 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
	if [ ${#refused[@]} -gt 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
	passed=$((passed + ok)) failed=$((failed + bad))
	for reason in ${refused[@]+"${refused[@]}"}; do failures+=("$step: $reason"); done
	mapfile -t -O ${#failures[@]} failures < <(
		failed_tests "$log"
		grep -E '^(guest|[^ ]+::[^ ]+) .*FAILED' "$log"
	)
	summary+=("$(printf '%-10s %5d passed %3d failed %5d s' "$step" "$ok" "$bad" $((SECONDS - started)))")
}

[ "$(id -u)" = 0 ] || die "run it as root"
if [ $# -gt 0 ]; then steps=("$@"); else steps=("${all_steps[@]}"); fi
for step in "${steps[@]}"; do
	[ -n "${packages[$step]+known}" ] || die "there is no step $step; there are: ${all_steps[*]}"
done
export CARGO_TERM_COLOR=never
passed=0 failed=0 summary=() failures=()
mkdir -p target
for step in "${steps[@]}"; do run_step "$step"; done
echo
printf '%s\n' ${failures[@]+"${failures[@]}"} "${summary[@]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
