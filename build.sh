#!/usr/bin/env bash
# The project's verbs. All logic is in MSBuild and C#; this file picks the program to run.
set -euo pipefail
cd "$(dirname "$0")"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

usage() {
  cat <<'TEXT'
Usage: ./build.sh VERB [arguments]

  build     compile everything
  test      compile and run the tests (arguments go to dotnet test)
  pack      put the NuGet packages into out/packages
  docs      make the documentation's site, with the API reference, in out/site
  demo      fine-tune a small language model with SFT, DFT, SFT+KL and ASFT, and compare (--help for options)
  finetune  the fine-tuning program: train, eval, generate, cache, check-tokenizer, see docs/training.md (--help for options)
  bench     benchmarks (--help for options; --filter Foundation prints the README's figures, --check is for CI)
  report    measure what docs/benchmarks.md shows, 20 minutes to an hour, and write it (--help for options)
  kernels   compile the CUDA kernels to PTX and report what they take; --check only says whether both are up to date
  mutants   plant bugs in the CUDA kernels, and see whether the tests find each
  gpu       check and measure the CUDA kernels on a GPU, or on the virtual machine; --publish makes a folder that does it without .NET
  oracle    compute the golden values that the tests compare with, to 50 digits; --check only says whether they are right
  format    put the source into the project's format; --check only says whether it is
TEXT
}

# The fine-tuning program. Where an MPI has launched this script once for each rank, the first builds for all of them.
finetune() {
  local project=samples/FineTune
  if [ -z "${OMPI_COMM_WORLD_SIZE:-}${PMI_SIZE:-}${PMIX_RANK:-}" ]; then
    dotnet run -c Release --project "$project" -- "$@"
  else
    mkdir -p out
    flock out/build.lock dotnet build "$project" -c Release -v q --nodeReuse:false -p:UseSharedCompilation=false >&2
    exec dotnet "$project/bin/Release/net10.0/asft-finetune.dll" "$@"
  fi
}

# Without a driver, the library of the virtual machine is the driver's.
gpu() {
  if [ "${1:-}" = --publish ]; then
    shift
    rm -rf out/gpu
    dotnet publish tools/Asft.GpuCheck -c Release -r linux-x64 -o out/gpu "$@"
  else
    local folder
    folder=$(scripts/libcuda-folder.sh)
    LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} dotnet run -c Release --project tools/Asft.GpuCheck -- "$@"
  fi
}

verb=${1:-help}
shift || true
case $verb in
  build)  dotnet build Asft.sln -c Release "$@" ;;
  # Built first: projects that are built by the test run wait for one another, and so do their tests.
  test)   scripts/ensure-libstdcxx.sh && dotnet build Asft.sln -c Release -v q && dotnet test Asft.sln -c Release --no-build "$@" ;;
  pack)   dotnet pack src/Packages.slnf -c Release "$@" ;;
  docs)   dotnet tool restore && dotnet build src/Packages.slnf -c Release && dotnet docfx docfx.json "$@" ;;
  demo)   scripts/ensure-libstdcxx.sh && finetune demo "$@" ;;
  finetune) scripts/ensure-libstdcxx.sh && finetune "$@" ;;
  bench)  scripts/ensure-libstdcxx.sh && dotnet run -c Release --project bench/Asft.Bench -- "$@" ;;
  report) scripts/ensure-libstdcxx.sh && dotnet run -c Release --project bench/Asft.Bench -- report "$@" ;;
  kernels) scripts/ensure-nvrtc.sh && scripts/ensure-ptxas.sh && dotnet run -c Release --project tools/Asft.KernelCompiler -- "$@" ;;
  mutants)
    scripts/ensure-nvrtc.sh && scripts/ensure-libstdcxx.sh && dotnet build tests/Asft.Kernels.Tests -c Release &&
      dotnet run -c Release --project tools/Asft.KernelCompiler -- mutants "$@" ;;
  gpu)    gpu "$@" ;;
  oracle) dotnet run -c Release --project tools/Asft.Oracle -- "$@" ;;
  format) if [ "${1:-}" = --check ]; then dotnet format Asft.sln --verify-no-changes; else dotnet format Asft.sln; fi ;;
  help | --help | -h) usage ;;
  *)      echo "build.sh: there is no verb '$verb'." >&2; usage >&2; exit 2 ;;
esac
