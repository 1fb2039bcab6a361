#!/usr/bin/env bash
# The report on the kernels takes ptxas and nvdisasm of CUDA 12.4, two programs. On Debian, as root, this takes them out of Debian 13's
# package, which is not installed, as a gigabyte of libraries comes with it; elsewhere it says what is missing.
set -euo pipefail
[ "$(uname -s)" = Linux ] || exit 0
cd "$(dirname "$0")/.."

is_there() { { "out/ptxas/$1" --version || "$1" --version; } 2> /dev/null | grep -q 'release 12\.4,'; }

if is_there ptxas && is_there nvdisasm; then
  exit 0
fi

. /etc/os-release
if [ "${ID:-}" != debian ] || [ "$(id -u)" != 0 ]; then
  echo "The report on the kernels needs ptxas and nvdisasm of CUDA 12.4 on the PATH (on Debian, run this as root once)." >&2
  exit 1
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
scripts/debian-install.sh trixie non-free nvidia-cuda-toolkit "$folder"
mkdir -p out/ptxas
cp "$folder"/usr/bin/ptxas "$folder"/usr/bin/nvdisasm out/ptxas
