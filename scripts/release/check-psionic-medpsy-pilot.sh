#!/usr/bin/env bash
# The release gate of MedPsy: closed (exit code 1) unless every claim is backed by a retained row, every row has its
# evidence, and no other engine is below Psionic. Needs cargo and nothing else; no GPU and no compiler for kernels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tree=$(mktemp)
trap 'rm -f "$tree"' EXIT
# What runs with Psionic on any platform; build and test dependencies do not.
cargo tree --locked --package psionic --edges normal --target all --prefix none > "$tree"
export PSIONIC_SKIP_PTX=${PSIONIC_SKIP_PTX-1}
cargo run --locked --quiet --package psionic --bin psionic -- medpsy gate --root . --dependencies "$tree" "$@"
