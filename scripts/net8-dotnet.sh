#!/usr/bin/env bash
# Makes a folder whose dotnet has the .NET 8 runtime, which comes from the package feed as for a self-contained program: the tests of the net8.0
# libraries run on it where no .NET 8 is installed. Usage: net8-dotnet.sh FOLDER
set -euo pipefail
folder=$1
[ ! -e "$folder/dotnet" ] || exit 0

rid=$(dotnet --info | awk '$1 == "RID:" { print $2; exit }')
installed=$(dirname "$(readlink -f "$(command -v dotnet)")")
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT
cat > "$project/net8.csproj" <<XML
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <TargetFramework>net8.0</TargetFramework>
    <RuntimeIdentifier>$rid</RuntimeIdentifier>
    <SelfContained>true</SelfContained>
  </PropertyGroup>
  <Target Name="Show" DependsOnTargets="ResolveFrameworkReferences">
    <Message Importance="high" Text="pack=@(ResolvedRuntimePack->WithMetadataValue('FrameworkName', 'Microsoft.NETCore.App')->'%(PackageDirectory)')" />
  </Target>
</Project>
XML
pack=$(dotnet build "$project/net8.csproj" -restore -t:Show -v m --nologo -tl:off | sed -n 's/^ *pack=//p')

mkdir -p "$folder/host" "$folder/shared/Microsoft.NETCore.App"
ln -s "$installed/host/fxr" "$folder/host/fxr"
runtime=$folder/shared/Microsoft.NETCore.App/$(basename "$pack")
mkdir "$runtime"
ln -s "$pack"/runtimes/*/lib/net8.0/* "$pack"/runtimes/*/native/* "$runtime/"
cp "$installed/dotnet" "$folder/dotnet" # a copy: it looks for the rest beside itself
