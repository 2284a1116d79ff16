#!/usr/bin/env bash
# Looks for what slips into a repository unseen: paths of one machine, unfinished marks, large files.
# Reads every file that git tracks or would add. Prints each place and exits 1 when there is any. Part of .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."

largest=1000000 # bytes; data and checkpoints stay out of the repository
page=results/report/index.html # holds every figure, some 130 KB each
largest_page=5000000
# The excerpt that is built into the program, so that tests and a first table need no network (data/avmnist-embedded.yaml).
embedded="data/embedded/fsdd.parquet data/embedded/mnist.parquet"
largest_embedded=2500000
failed=0

report() { # report TITLE LINES
    [ -n "$2" ] || return 0
    printf '%s\n%s\n\n' "$1" "$2"
    failed=1
}

# Written with brackets so that this file does not find itself.
machine_paths='(^|[^[:alnum:]._/~-])/(wor[k]|roo[t])/|/tm[p]/bash_jobs'
unfinished='\b(TOD[O]|FIXM[E]|XX[X])\b|\b(tod[o]|unimplemente[d])!\('

files() { git ls-files -z --cached --others --exclude-standard -- "$@" ':!LICENSE-*'; }
search() { files ':!*.svg' | xargs -0 -r grep -nIE -e "$1" -- 2>/dev/null | cut -c1-200 || true; }

report "paths of one machine (a user has none of them):" "$(search "$machine_paths")"
report "unfinished:" "$(search "$unfinished")"
report "files over $largest bytes:" "$(
    files | while IFS= read -r -d '' file; do
        [ -f "$file" ] || continue
        size=$(wc -c < "$file")
        limit=$largest
        [ "$file" != "$page" ] || limit=$largest_page
        [[ " $embedded " != *" $file "* ]] || limit=$largest_embedded
        [ "$size" -le "$limit" ] || echo "$file: $size bytes"
    done
)"

[ "$failed" = 0 ] || exit 1
echo "$(files | tr -cd '\0' | wc -c) files: no machine paths, nothing unfinished, nothing large"
