#!/bin/sh
# Deploys what is pushed before git accepts it. Reads `old new ref` lines; all that is said here reaches whoever pushes.
set -eu

work=$(mktemp -d "${TMPDIR:-/tmp}/faas-push-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

deploy() {
    commit=$1
    shift
    git ls-tree -r -l "$commit" | awk -v files="$FAAS_GIT_FILES_MAX" -v bytes="$FAAS_GIT_BYTES_MAX" '
        { sum += $4 }
        NR > files || sum > bytes { print "the commit has more than " files " files or " bytes " bytes"; exit 1 }
    ' >&2
    rm -rf "$work/tree" "$work/index"
    mkdir "$work/tree"
    GIT_INDEX_FILE="$work/index" git read-tree "$commit"
    GIT_INDEX_FILE="$work/index" git --work-tree="$work/tree" checkout-index --all
    note=$(git log -1 --format='%h %s' "$commit" | cut -c1-200)
    # No program of this machine looks at the code: the server checks it in a sandbox.
    PATH=/nonexistent "$FAAS_PROGRAM" deploy "$work/tree" --name "$FAAS_GIT_FUNCTION" -m "$note" "$@" >&2
}

while read -r _ new ref; do
    case $new in *[!0]*) ;; *) continue ;; esac
    case $ref in
        refs/heads/main | refs/heads/master) deploy "$new" ;;
        refs/heads/*)
            branch=$(printf %s "${ref#refs/heads/}" | tr 'A-Z' 'a-z' | tr -c 'a-z0-9' '-' | sed 's/^[^a-z]*//' | cut -c1-50 | sed 's/-*$//')
            [ -n "$branch" ] || { echo "the branch's name makes no name of a preview: use a letter" >&2; exit 1; }
            deploy "$new" --preview "$branch"
            ;;
        *) echo "$ref is kept and not deployed" >&2 ;;
    esac
done
