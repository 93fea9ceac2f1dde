#!/bin/sh
# Runs the CUDA kernels on the CPU under ThreadSanitizer, every CUDA thread a thread of its own to
# it: barriers and __syncwarp order memory, votes and shuffles do not. A race ends it with an error.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sources=$here/../../../mmvos/ops/csrc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-x c++ -std=c++17 -O1 -g -fno-strict-aliasing -Wno-unknown-pragmas -I$here -I$sources"
for file in "$sources"/cuda/*.cu "$here/races.cpp" ${MORE_SOURCES:-}; do
    g++ $flags -fsanitize=thread -c "$file" -o "$work/$(basename "$file").o"
done
# the emulation itself is not watched: it only tells the detector who runs
g++ $flags -DMMVOS_EMULATION_TSAN -c "$here/emulation.cpp" -o "$work/emulation.o"
g++ -fsanitize=thread "$work"/*.o -o "$work/races"
# some kernels place memory at random where ThreadSanitizer expects none
TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}" setarch "$(uname -m)" -R "$work/races"
