#!/usr/bin/env bash
# Installs a Debian package of a suite and component that apt may not know yet, from the mirror that apt uses already. As root.
# Usage: debian-install.sh SUITE COMPONENT PACKAGE [FOLDER]
# With a folder, the package's files are unpacked there, and nothing is installed.
# A suite that is new to apt gets so low a priority that nothing comes from it but what is asked for.
set -euo pipefail
suite=$1 component=$2 package=$3 folder=${4:-}

mirror=$(awk '$1 == "URIs:" { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2> /dev/null || true)
if [ -z "$mirror" ]; then
  mirror=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z]+:\/\//) { print $i; exit } }' /etc/apt/sources.list 2> /dev/null || true)
fi
if [ -z "$mirror" ]; then
  echo "No Debian mirror was found in apt's sources: please install $package of $suite by hand." >&2
  exit 1
fi

echo "$([ -n "$folder" ] && echo Unpacking || echo Installing) Debian's $package of $suite ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! grep -qrwsE "^(Suites:|deb).* $suite" /etc/apt/sources.list /etc/apt/sources.list.d; then
  cat > "/etc/apt/preferences.d/asft-$suite" <<TEXT
Package: *
Pin: release n=$suite
Pin-Priority: 50
TEXT
fi
cat > "/etc/apt/sources.list.d/asft-$suite-$component.sources" <<TEXT
Types: deb
URIs: $mirror
Suites: $suite
Components: $component
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
TEXT
export DEBIAN_FRONTEND=noninteractive
take() {
  if [ -z "$folder" ]; then
    apt-get install -y -q --no-install-recommends -t "$suite" "$package"
  else
    (cd "$folder" && apt-get download -q "$package/$suite" && dpkg-deb -x ./*.deb . && rm ./*.deb)
  fi
}

if ! { apt-get update -q && take; } > "$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "Debian's $package could not be installed; apt's last lines are above." >&2
  exit 1
fi
