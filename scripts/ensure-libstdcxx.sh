#!/usr/bin/env bash
# TorchSharp's native library needs the libstdc++ of GCC 13 (GLIBCXX_3.4.32). Systems from 2023 on have it. On Debian 12, as root,
# this installs Debian 13's from the mirror that apt uses already; elsewhere it says what is missing.
set -euo pipefail
[ "$(uname -s)" = Linux ] || exit 0

IFS=: read -ra folders <<< "${LD_LIBRARY_PATH:-}"
for folder in "${folders[@]}"; do
  if [ -n "$folder" ] && grep -qs GLIBCXX_3.4.32 "$folder/libstdc++.so.6"; then
    exit 0
  fi
done

library=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | awk '/libstdc\+\+\.so\.6 / && !found++ { print $NF }' || true)
if [ -z "$library" ] || grep -q GLIBCXX_3.4.32 "$library"; then
  exit 0 # where there is none to be found this way, let the loader decide
fi

if [ -r /etc/os-release ]; then
  . /etc/os-release
fi
if [ "${ID:-}" != debian ] || [ "${VERSION_ID:-}" != 12 ] || [ "$(id -u)" != 0 ]; then
  cat >&2 <<TEXT
TorchSharp needs the libstdc++ of GCC 13 or newer (GLIBCXX_3.4.32), and $library is older.
  Debian 12:     run scripts/ensure-libstdcxx.sh as root, once
  Ubuntu 22.04:  as root, add-apt-repository ppa:ubuntu-toolchain-r/test && apt-get install libstdc++6
  elsewhere:     put a newer libstdc++.so.6, for example conda-forge's libstdcxx, into a folder of LD_LIBRARY_PATH
TEXT
  exit 1
fi

exec "$(dirname "$0")/debian-install.sh" trixie main libstdc++6
