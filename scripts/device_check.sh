#!/usr/bin/env bash
# Checks a program on a GPU machine that has no Rust: tests, scores of one cell against the processor's, and throughput.
# `--help` says how. Needs no network: the data are built into the program.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/device_check.sh PROGRAM [DEVICE] [TEST...]

  PROGRAM   mmcollapse, built with --features cuda and stripped (docs/cuda.md); .gz is unpacked
  DEVICE    cuda:0 if not said; cpu tries the script itself
  TEST      test programs to run first on DEVICE, as `cargo test --no-run` builds them (docs/cuda.md names them)

environment:
  WORKERS   numbers of workers to time, default "1 2 4 8 16 32"
  OUT       folder of the table, default device-check

Writes OUT/device-check.md: the card's name, the tests, both devices' scores of one cell of Table 4, samples a second by number of
workers. Takes under ten minutes on a GPU. Exits with 1 where a test fails or scores differ by more than 5 points.
TEXT
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    "") usage >&2; exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

unpacked() { # unpacked FILE: its path, of FILE.gz that of what is in it
    if [[ "$1" == *.gz ]]; then
        gunzip -c "$1" >"$work/$(basename "$1" .gz)"
        chmod +x "$work/$(basename "$1" .gz)"
        echo "$work/$(basename "$1" .gz)"
    else
        realpath "$1"
    fi
}
program=$(unpacked "$1")
device=${2:-cuda:0}
tests=()
for test in "${@:3}"; do tests+=("$(unpacked "$test")"); done
read -r -a workers <<<"${WORKERS:-1 2 4 8 16 32}"
out=${OUT:-device-check}
mkdir -p "$out"
table="$out/device-check.md"
failed=0

# 840 training samples, the quick preset's 40 epochs.
samples=$((840 * 40))
cell=(--dataset avmnist-embedded --only row=concat --only protocol=test_missing --offline --no-published)

card() {
    if [ "$device" = cpu ]; then
        grep -m1 "model name" /proc/cpuinfo 2>/dev/null | sed 's/.*: //' || uname -m
    else
        nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader -i "${device#cuda:}"
    fi
}

seconds() { # seconds COMMAND...: wall time
    local began
    began=$(date +%s.%N)
    "$@"
    awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'
}

train() { # train PRESET DEVICE WORKERS SEEDS STORE
    "$program" run table4 "${cell[@]}" --preset "$1" --device "$2" --workers "$3" --seeds "$4" --store "$work/$5" \
        >"$work/$5.log" 2>&1 || { cat "$work/$5.log" >&2; return 1; }
}

# Accuracy at a missing rate of .9, as the program prints it.
accuracy() { grep -o "accuracy [0-9.]* at 0.9 " "$work/$1.log" | head -1 | cut -d' ' -f2; }

{
    echo "# Device check"
    echo
    echo "$(card), $(nproc) processor cores; \`$("$program" --version)\`, $(date -u +%F)."
    echo
    echo "## Tests"
    echo
} >"$table"

if [ ${#tests[@]} = 0 ]; then
    echo "None was given." >>"$table"
fi
# Tests find their fixtures below the folder of the crate that has them.
fixtures=$(realpath "$(dirname "$0")/../crates/mmcollapse-nn")
for test in "${tests[@]}"; do
    if (cd "$fixtures" && MMCOLLAPSE_TEST_DEVICE="$device" "$test") >"$work/test.log" 2>&1; then
        verdict=$(grep "^test result" "$work/test.log" | tail -1)
    else
        verdict="FAILED"
        failed=1
        tail -40 "$work/test.log" >&2
    fi
    echo "- $(basename "$test"): $verdict" >>"$table"
done

train quick cpu 1 1 processor
train quick "$device" 1 1 device
at_home=$(accuracy processor)
away=$(accuracy device)
difference=$(awk -v a="$at_home" -v b="$away" 'BEGIN { d = 100 * (b - a); printf "%.1f", d < 0 ? -d : d }')
{
    echo
    echo "## One cell of Table 4"
    echo
    echo "| device | test accuracy at 90 % missing |"
    echo "|---|--:|"
    echo "| cpu | $at_home |"
    echo "| $device | $away |"
    echo
    echo "They differ by $difference points. Devices round differently, and 1080 steps carry that on."
    echo
    echo "## Throughput"
    echo
    echo "| workers | cells | seconds | samples/s |"
    echo "|--:|--:|--:|--:|"
} >>"$table"
if awk -v d="$difference" 'BEGIN { exit !(d > 5) }'; then
    failed=1
fi
for count in "${workers[@]}"; do
    took=$(seconds train quick "$device" "$count" "$count" "workers$count")
    rate=$(awk -v n="$((samples * count))" -v s="$took" 'BEGIN { printf "%.0f", n / s }')
    echo "| $count | $count | $took | $rate |" >>"$table"
done
cat "$table"
exit "$failed"
