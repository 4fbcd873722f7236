#!/usr/bin/env bash
# Makes a whole benchmark record of this machine's GPU, beside llama.cpp: what fixtures/bench/README.md describes.
#
#   benches/record.sh PROGRAMS LLAMA FOLDER
#
# PROGRAMS  the folder with psionic and xtask, built with `cargo build --release -p psionic -p xtask`
# LLAMA     the folder with llama-bench and llama-peer, from benches/llama.cpp/build.sh
# FOLDER    where the record goes: fixtures/bench/DATE-DEVICE
#
# The most important comes first, and each step's output is kept as soon as it ends, so that a run that is cut off leaves a
# record of what it did. A step that fails is named at the end, and the exit code is then 1. Models go to a temporary folder
# (some 9 GB). SIZES (default "1.7b 0.6b 4b 8b") and TOKENS (default 512) may be set in the environment.
set -uo pipefail
[ $# = 3 ] || { sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
mkdir -p "$3"
programs=$(cd "$1" && pwd) llama=$(cd "$2" && pwd) record=$(cd "$3" && pwd)
psionic=$programs/psionic sizes=${SIZES:-1.7b 0.6b 4b 8b} tokens=${TOKENS:-512}
for program in "$psionic" "$programs/xtask" "$llama/llama-bench" "$llama/llama-peer"; do
    [ -x "$program" ] || { echo "expected the program $program, found none; build it first" >&2; exit 2; }
done
nvidia-smi > /dev/null 2>&1 || { echo "expected a GPU that nvidia-smi shows, found none; install the NVIDIA driver" >&2; exit 4; }
models=$(mktemp -d)
trap 'rm -rf "$models"' EXIT
cd "$models"
failed=()

# Runs a command; what it prints goes to the record's file NAME.
step() { # NAME COMMAND..
    local name=$1 began=$SECONDS code=0
    shift
    "$@" > "$record/$name" 2> "$models/log" || code=$?
    echo "$name: exit $code after $((SECONDS - began)) s" >&2
    [ $code = 0 ] || { failed+=("$name"); tail -n 3 "$models/log" >&2; }
}

machine() {
    date -u +%Y-%m-%dT%H:%M:%SZ
    "$psionic" --version
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit --format=csv,noheader
}

step machine.txt machine
step doctor.json "$psionic" doctor --json
first=
for size in $sizes; do
    model=synth-$size.gguf first=${first:-$size}
    "$psionic" model synth --size "$size" --seed 1 -o "$model" > /dev/null || { failed+=("$model"); continue; }
    step "compare-$size.txt" "$programs/xtask" compare --psionic "$psionic" --llama "$llama" -m "$model" \
        -d "$([ "$size" = "$first" ] && echo 0,4096 || echo 0)" -n "$tokens" -r 2 --positions 64 -o "$record/compare-$size"
    if [ "$size" = "$first" ]; then
        step profile.json "$psionic" bench --backend cuda -m "$model" --profile -d 0,4096 -o json
        step profile.txt "$psionic" bench --backend cuda -m "$model" --profile -d 0 --timeline "$record/token.svg"
        step kernels.json "$psionic" kernel bench all --size "$size" --backend cuda -o json
        step matrix.txt "$psionic" medpsy matrix -m "$model" --llama "$llama" --host gpu -n "$tokens" -o "$record/medpsy"
        step depths.json "$psionic" bench --backend cuda -m "$model" -p 0 -n 128 -d 2048,32768 -r 1 -o json
    else
        rm "$model"
    fi
done
[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
