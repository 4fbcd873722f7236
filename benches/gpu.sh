#!/usr/bin/env bash
# Measures decoding on this machine's GPU, beside llama.cpp where that is given, and keeps everything raw.
#
#   benches/gpu.sh PSIONIC OUT [LLAMA]
#
# PSIONIC  the release binary
# OUT      a new folder for the records, as in fixtures/bench/2026-01-31-h100
# LLAMA    a folder with llama.cpp's `llama-bench` (its shared libraries must be found)
#
# SIZES (1.7b), DEPTHS (0,2048), TOKENS (512) and REPEATS (5) come from the environment.
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" >&2; exit 2; }
psionic=$(realpath "$1") out=$(realpath -m "$2") llama=${3:+$(realpath "$3")}
sizes=${SIZES:-1.7b} depths=${DEPTHS:-0,2048} tokens=${TOKENS:-512} repeats=${REPEATS:-5}

mkdir -p "$out"
models=$(mktemp -d)
trap 'rm -rf "$models"' EXIT
cd "$models"  # so that the records name the files and not where they were

busy=$(nvidia-smi --query-compute-apps=pid --format=csv,noheader | wc -l)
[ "$busy" = 0 ] || { echo "the GPU is in use by $busy other programs: figures would mean nothing" >&2; exit 1; }
{
    date -u +%Y-%m-%dT%H:%M:%SZ
    "$psionic" --version
    nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,memory.total --format=csv
} > "$out/machine.txt"
"$psionic" doctor --json > "$out/doctor.json" || true

for size in $sizes; do
    model=synth-$size.gguf
    "$psionic" model synth --size "$size" -o "$model" > "$out/synth-$size.txt"
    # The two take turns, twice, so that a drift of the machine shows.
    for turn in 1 2; do
        "$psionic" bench -m "$model" -p 0 -n "$tokens" -d "$depths" -r "$repeats" -o json \
            > "$out/psionic-$size-$turn.json"
        [ -z "$llama" ] || "$llama/llama-bench" -m "$model" -p 0 -n "$tokens" -d "$depths" -r "$repeats" -fa 1 -ngl 99 \
            -o json > "$out/llama-$size-$turn.json" 2> /dev/null
    done
    # The file is in the page cache by now: what loading takes is ours.
    "$psionic" generate -m "$model" --prompt-tokens 872 -n 16 --ignore-eos --json > "$out/load-$size.json" 2> /dev/null
    # Each kernel alone, no input in a cache, beside a copy.
    "$psionic" kernel bench all --size "$size" --backend cuda -o json > "$out/alone-$size.json"
    # Each kernel in a decode, caches as the kernel before left them; one token has some 145 launches.
    ! command -v ncu > /dev/null || ncu --clock-control none --cache-control none --graph-profiling node \
        --launch-skip 1000 --launch-count 432 --csv --print-units base \
        --metrics gpu__time_duration.sum,dram__bytes_read.sum \
        "$psionic" generate -m "$model" --prompt-tokens 872 -n 16 --ignore-eos 2> /dev/null | grep '^"' > "$out/kernels-$size.csv"
done
