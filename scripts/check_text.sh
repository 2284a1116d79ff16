#!/usr/bin/env bash
# Looks for what slips into a repository unseen: paths of one machine, unfinished marks, large files, long sentences.
# Reads every file that git tracks or would add. Prints each place and exits 1 when there is any. Part of .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."

largest=2000000 # bytes; data and checkpoints stay out of the repository
page=results/report/index.html # holds every figure, some 130 KB each
largest_page=9000000
# The excerpt that is built into the program, so that tests and a first table need no network (data/avmnist-embedded.yaml).
embedded="data/embedded/fsdd.parquet data/embedded/mnist.parquet"
largest_embedded=2500000
# Cells of a published result: about 1 kB each.
largest_cells=5000000
longest=35 # words a sentence of a Markdown file may have (docs/writing.md)
allowed=10 # sentences in the whole tree that may have more
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
        [[ "$file" != results/cells/* ]] || limit=$largest_cells
        [ "$size" -le "$limit" ] || echo "$file: $size bytes"
    done
)"

# Sentences end at . ! ? or : before a space, and at the end of a paragraph, list item or cell. Left out: code, tables, headings,
# addresses of links, and what is generated below results/.
long_sentences() {
    files '*.md' ':!results' | xargs -0 -r python3 -c '
import re, sys

longest, paths = int(sys.argv[1]), sys.argv[2:]

def check(path, words):
    """Prints the long sentences among `words`, pairs of a line number and a word."""
    sentence = []
    for number, word in words + [(0, "")]:
        if not word or (sentence and re.search(r"[.!?:][)\"\x27*_]*$", sentence[-1][1])):
            if len(sentence) > longest:
                print(f"{path}:{sentence[0][0]}: {len(sentence)} words: {chr(32).join(w for _, w in sentence[:8])} ...")
            sentence = []
        if re.search(r"\w", word):
            sentence.append((number, word))
        elif sentence and word:
            sentence[-1] = (sentence[-1][0], sentence[-1][1] + word)

for path in paths:
    try:
        lines = open(path, encoding="utf-8").read().split("\n")
    except FileNotFoundError:
        continue  # deleted, and git does not know yet
    words, fence, code = [], False, False
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if bare.startswith("```"):
            fence = not fence
        item = re.match(r"(\s*)([-*+]|\d+\.)\s+", line)
        code = not fence and line.startswith("    ") and not item and (code or not words)
        if fence or code or not bare or bare.startswith(("```", "#", "|")):
            check(path, words)
            words = []
            continue
        if item:
            check(path, words)
            words, bare = [], line[item.end():]
        bare = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", bare)
        bare = re.sub(r"`[^`]*`", lambda code: re.sub(r"\W+", "_", code[0]), bare)
        words += [(number, word) for word in bare.split()]
    check(path, words)
' "$longest"
}
sentences=$(long_sentences)
[ "$(grep -c . <<< "$sentences")" -le "$allowed" ] || report "more than $allowed sentences of more than $longest words:" "$sentences"

[ "$failed" = 0 ] || exit 1
echo "$(files | tr -cd '\0' | wc -c) files: no machine paths, nothing unfinished, nothing large, sentences short enough"
