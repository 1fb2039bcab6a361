#!/usr/bin/env bash
# Compiling the CUDA kernels takes NVRTC of CUDA 11.8, a library; using them does not. On Debian, as root, this installs Debian 12's package
# from the mirror that apt uses already (Debian 13 has only a later CUDA); elsewhere it says what is missing.
set -euo pipefail
[ "$(uname -s)" = Linux ] || exit 0

library=libnvrtc.so.11.2
case $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true) in
  *"$library "*) exit 0 ;;
esac
IFS=: read -ra folders <<< "${LD_LIBRARY_PATH:-}"
for folder in "${folders[@]}"; do
  if [ -n "$folder" ] && [ -e "$folder/$library" ]; then
    exit 0
  fi
done

. /etc/os-release
if [ "${ID:-}" != debian ] || [[ ! "${VERSION_ID:-}" =~ ^1[23]$ ]] || [ "$(id -u)" != 0 ]; then
  echo "Compiling the kernels needs $library, from CUDA 11.8: please install its NVRTC and put the library on LD_LIBRARY_PATH (on Debian 12 or 13, run this as root once)." >&2
  exit 1
fi

exec "$(dirname "$0")/debian-install.sh" bookworm non-free libnvrtc11.2
