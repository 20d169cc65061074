# shellcheck shell=bash
# What the scripts share. Sourced, never run.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
ROOT=$PWD
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
TOOLS=$TARGET/tools
VENV=$TARGET/venv
export ROOT TARGET TOOLS VENV
export PATH=$PATH:$TOOLS/bin

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
if [[ ! -t 2 || -n ${NO_COLOR:-} ]]; then
    say() { printf '==> %s\n' "$*" >&2; }
fi

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf '  hint: %s\n' "$hint" >&2; done
    exit 1
}

# Whether a program is installed. A function or an alias of that name is none.
have() { type -P "$1" >/dev/null; }

# Milliseconds since the epoch.
now_ms() { date +%s%3N; }

# Where the build of a profile puts the binary; FAAS_BIN names one that is built already.
faas_binary() { printf '%s' "${FAAS_BIN:-$TARGET/$([[ $1 == dev ]] && echo debug || echo "$1")/faas}"; }
