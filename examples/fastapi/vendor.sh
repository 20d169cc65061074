#!/usr/bin/env bash
# Puts the application's dependencies beside its code, in vendor/, built for the runtime that faas.toml names.
# Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")"

version=$(sed -n 's/^runtime *= *"python\([0-9.]*\)".*/\1/p' faas.toml)
stamp=vendor/.stamp
wanted="$version $(cat requirements.txt)"
if [[ -f $stamp && $(cat "$stamp") == "$wanted" ]]; then
    exit 0
fi

rm -rf vendor
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-compile --root-user-action=ignore \
    --target vendor --only-binary=:all: --python-version "$version" --implementation cp \
    --requirement requirements.txt
printf '%s' "$wanted" >"$stamp"
