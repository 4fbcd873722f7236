#!/usr/bin/env bash
# Measures each launch of the graph engine alone, with Nsight Compute: `cargo xtask report FOLDER` prints the shares.
#
#   benches/kernels.sh PSIONIC MODEL FOLDER/kernels-SIZE.csv
#
# Caches are as the kernel before left them and clocks as they are. One token has some 144 launches; three are recorded,
# after the first few.
set -euo pipefail
[ $# = 3 ] || { sed -n 's/^# \{0,1\}//p' "$0" >&2; exit 2; }
command -v ncu > /dev/null || { echo "expected Nsight Compute's ncu in PATH, found none; install it" >&2; exit 1; }
ncu --clock-control none --cache-control none --graph-profiling node --launch-skip 1000 --launch-count 432 --csv \
    --print-units base --metrics gpu__time_duration.sum,dram__bytes_read.sum \
    "$1" generate --engine graph -m "$2" --prompt-tokens 872 -n 16 --ignore-eos 2> /dev/null | grep '^"' > "$3"
