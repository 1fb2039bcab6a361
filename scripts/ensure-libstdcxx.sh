#!/usr/bin/env bash
# TorchSharp's native library needs the libstdc++ of GCC 13 (GLIBCXX_3.4.32). Systems from 2023 on have it. On Debian 12, as root,
# this installs Debian 13's from the mirror that apt uses already; elsewhere it says what is missing.
set -euo pipefail
[ "$(uname -s)" = Linux ] || exit 0

library=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | awk '/libstdc\+\+\.so\.6 / && !found++ { print $NF }' || true)
if [ -z "$library" ] || grep -q GLIBCXX_3.4.32 "$library"; then
  exit 0 # where there is none to be found this way, let the loader decide
fi

. /etc/os-release
if [ "${ID:-}" != debian ] || [ "${VERSION_ID:-}" != 12 ] || [ "$(id -u)" != 0 ]; then
  echo "TorchSharp needs libstdc++ with GLIBCXX_3.4.32 (GCC 13 or newer), and $library is older: please upgrade it (on Debian 12, run this as root once)." >&2
  exit 1
fi

exec "$(dirname "$0")/debian-install.sh" trixie main libstdc++6
