#!/usr/bin/env bash
# What a user does with the packages: a fresh console project outside the repository installs them from a folder and trains ten steps with
# samples/QuickStart/Program.cs; then once more as a single file, trimmed, and for .NET 8. Usage: try-packages.sh [FOLDER], out/packages if none is named.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=$(realpath "${1:-out/packages}")
sample=$(realpath samples/QuickStart/Program.cs)
dotnet8=$(realpath -m out/dotnet8)
scripts/ensure-libstdcxx.sh
scripts/net8-dotnet.sh "$dotnet8"

# The packages under test come from the folder, not from an earlier run; all others need not be fetched again.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NUGET_FALLBACK_PACKAGES NUGET_PACKAGES=$work/packages DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
NUGET_FALLBACK_PACKAGES=$(env -u NUGET_PACKAGES dotnet nuget locals global-packages --list | sed 's/^[^:]*: //')

# Ten lines "step N: loss L", of which the last has less loss than the first.
trains() {
  echo "--- $*"
  "$@" | tee "$work/log"
  awk '/^step/ { sub(",", ".", $4); if (!n++) first = $4; last = $4 } END { exit !(n == 10 && last < first) }' "$work/log"
}

project() {
  mkdir "$work/$1"
  cd "$work/$1"
  dotnet new console > /dev/null
  sed -i "s#<TargetFramework>.*</TargetFramework>#<TargetFramework>$2</TargetFramework>#" "$1.csproj"
  dotnet new nugetconfig > /dev/null
  dotnet nuget add source "$packages" --name asft --configfile nuget.config > /dev/null
  # As the README says.
  dotnet add package Asft.Interop > /dev/null
  dotnet add package TorchSharp-cpu --version 0.107.0 > /dev/null
  cp "$sample" Program.cs
}

project trainer net10.0
trains dotnet run
unwanted=$(dotnet list package --include-transitive | grep -iE 'ILGPU|Meziantou|Analyzers' || true)
if [ -n "$unwanted" ]; then
  echo "Packages that nobody asked for: $unwanted"
  exit 1
fi

dotnet publish -c Release --use-current-runtime --self-contained -p:PublishSingleFile=true -p:IncludeNativeLibrariesForSelfExtract=true -o single > /dev/null
trains single/trainer
dotnet publish -c Release --use-current-runtime --self-contained -p:PublishTrimmed=true -p:TreatWarningsAsErrors=false -o trimmed > "$work/trim"
if grep -E 'Asft.*warning IL' "$work/trim"; then
  exit 1
fi

trains trimmed/trainer

project trainer8 net8.0
dotnet build -o built > /dev/null
trains "$dotnet8/dotnet" built/trainer8.dll
