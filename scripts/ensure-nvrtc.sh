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

mirror=$("$(dirname "$0")/debian-mirror.sh")
if [ -z "$mirror" ]; then
  echo "Compiling the kernels needs Debian's libnvrtc11.2, and no Debian mirror was found in apt's sources: please install it by hand." >&2
  exit 1
fi

echo "Installing Debian's libnvrtc11.2, which compiles the kernels ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cat > /etc/apt/sources.list.d/asft-nonfree.sources <<TEXT
Types: deb
URIs: $mirror
Suites: bookworm
Components: non-free
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
TEXT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends libnvrtc11.2; } > "$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "Debian's libnvrtc11.2 could not be installed; apt's last lines are above." >&2
  exit 1
fi
