#!/bin/sh
# Deploys what is pushed before git accepts it. Reads `old new ref` lines; all that is said here reaches whoever pushes.
set -eu

# The server made it for this push, and removes it afterwards.
work=$TMPDIR

deploy() {
    commit=$1
    shift
    # Of modes, a bundle has those of files alone. A link would lead out of it, and a submodule lies elsewhere.
    git ls-tree -r -l "$commit" | awk -v files="$FAAS_GIT_FILES_MAX" -v bytes="$FAAS_GIT_BYTES_MAX" '
        { sum += $4 }
        NR > files || sum > bytes { print "the commit has more than " files " files or " bytes " bytes"; exit 1 }
        $1 !~ /^100/ {
            what = $1 == "120000" ? "a symbolic link" : $1 == "160000" ? "a submodule" : "not a regular file"
            print substr($0, index($0, "\t") + 1) " is " what ", which bundles do not hold; commit the files themselves"
            exit 1
        }
    ' >&2
    rm -rf "$work/tree" "$work/index"
    mkdir "$work/tree"
    GIT_INDEX_FILE="$work/index" git read-tree "$commit"
    GIT_INDEX_FILE="$work/index" git --work-tree="$work/tree" checkout-index --all
    note=$(git log -1 --format='%h %s' "$commit" | cut -c1-200)
    # No program of this machine looks at the code: the server checks it in a sandbox. What is said names files by their
    # path in the commit, for where they lie is not the pusher's affair.
    (cd "$work/tree" && PATH=/nonexistent "$FAAS_PROGRAM" deploy . --name "$FAAS_GIT_FUNCTION" -m "$note" "$@") >&2
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
