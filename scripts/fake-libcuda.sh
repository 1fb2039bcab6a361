#!/usr/bin/env bash
# Compiles the driver's library for machines without a GPU, tools/Asft.PtxVm/Driver/libcuda.c, into a folder for LD_LIBRARY_PATH. Takes a C
# compiler, whichever answers to cc. Usage: fake-libcuda.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
if ! command -v cc > /dev/null; then
  echo "Compiling libcuda.so.1 for tests takes a C compiler that answers to cc (Debian: gcc and libc6-dev)." >&2
  exit 1
fi

mkdir -p "$folder"
cc -std=gnu11 -O1 -Wall -Wextra -Werror -fPIC -shared -Wl,-soname,libcuda.so.1 -o "$folder/libcuda.so.1" tools/Asft.PtxVm/Driver/libcuda.c
