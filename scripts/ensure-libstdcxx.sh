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

mirror=$("$(dirname "$0")/debian-mirror.sh")
if [ -z "$mirror" ]; then
  echo "TorchSharp needs Debian 13's libstdc++6, and no Debian mirror was found in apt's sources: please install it by hand." >&2
  exit 1
fi

echo "Installing Debian 13's libstdc++6, which TorchSharp needs ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cat > /etc/apt/sources.list.d/asft-trixie.sources <<TEXT
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
TEXT
cat > /etc/apt/preferences.d/asft-trixie <<'TEXT'
Package: *
Pin: release n=trixie
Pin-Priority: 50
TEXT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends -t trixie libstdc++6; } > "$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "Debian 13's libstdc++6 could not be installed; apt's last lines are above." >&2
  exit 1
fi
