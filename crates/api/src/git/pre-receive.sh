#!/bin/sh
# Deploys what is pushed before git accepts it. Reads `old new ref` lines; all that is said here reaches whoever pushed.
set -eu

# The server made it for this push, and removes it afterwards.
work=$TMPDIR

refuse() {
    printf '%s\n' "$1" >&2
    exit 1
}

is_id() { case $1 in *[!0]*) return 0 ;; *) return 1 ;; esac }

# Looks at all commands before the first deployment. Leaves the numbers of refs and of branches as they will be.
check() {
    refs=$(git for-each-ref --format=x | wc -l)
    branches=$(git for-each-ref --format=x refs/heads | wc -l)
    brings=no
    while read -r old new ref; do
        case $ref in
            refs/heads/?*) step=1 ;;
            refs/tags/?*) step=0 ;;
            *) refuse "only branches and tags are taken: push to refs/heads/NAME or refs/tags/NAME" ;;
        esac
        git check-ref-format "$ref" || refuse "this is not the name of a branch or tag"
        [ ${#ref} -le "$FAAS_GIT_REF_MAX" ] || refuse "$ref is longer than $FAAS_GIT_REF_MAX bytes; use a shorter name"
        if is_id "$new"; then
            brings=yes
            git cat-file -e "$new^{commit}" 2>/dev/null || refuse "$ref does not lead to a commit; push a commit"
            is_id "$old" || { refs=$((refs + 1)); branches=$((branches + step)); }
        else
            case $ref in
                refs/heads/main | refs/heads/master)
                    refuse "$ref is what serves; \`faas functions delete $FAAS_GIT_FUNCTION\` removes the function with it" ;;
            esac
            refs=$((refs - 1))
            branches=$((branches - step))
        fi
    done
    [ $brings = yes ] || return 0
    [ "$refs" -le "$FAAS_GIT_REFS_MAX" ] ||
        refuse "more than $FAAS_GIT_REFS_MAX branches and tags; delete some with \`git push REMOTE --delete NAME\`"
    [ "$branches" -gt 0 ] || refuse "a tag alone deploys nothing; push a branch first"
    size=$(du -sk "${GIT_QUARANTINE_PATH:-$work}" | cut -f1)
    [ "$size" -le "$FAAS_GIT_ROOM_KB" ] || refuse "the push brings $((size / 1024 + 1)) MB. $FAAS_GIT_ROOM_SAYS"
}

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

cat >"$work/commands"
check <"$work/commands"
while read -r _ new ref; do
    is_id "$new" || continue
    case $ref in
        refs/heads/main | refs/heads/master) deploy "$new" ;;
        refs/heads/*)
            branch=$(printf %s "${ref#refs/heads/}" | tr 'A-Z' 'a-z' | tr -c 'a-z0-9' '-' | sed 's/^[^a-z]*//' | cut -c1-50 | sed 's/-*$//')
            [ -n "$branch" ] || refuse "the branch's name makes no name of a preview: use a letter"
            deploy "$new" --preview "$branch"
            ;;
        *) echo "$ref is kept and not deployed" >&2 ;;
    esac
done <"$work/commands"
