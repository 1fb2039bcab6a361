# The project's verbs, as in build.sh. All logic is in MSBuild and C#; this file picks the program to run.
# No parameters are declared: PowerShell would take '-v', which is meant for dotnet, for one of them.
$Verb = if ($args) { $args[0] } else { 'help' }
$Rest = @($args | Select-Object -Skip 1)
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot
$env:DOTNET_CLI_TELEMETRY_OPTOUT = 1
$env:DOTNET_NOLOGO = 1

if ($IsLinux -and $Verb -in 'kernels', 'mutants') {
    bash scripts/ensure-nvrtc.sh
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

if ($IsLinux -and $Verb -eq 'kernels') {
    bash scripts/ensure-ptxas.sh
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

if ($IsLinux -and $Verb -in 'test', 'demo', 'finetune', 'bench', 'report', 'mutants') {
    bash scripts/ensure-libstdcxx.sh
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

switch ($Verb) {
    'build' { dotnet build Asft.sln -c Release @Rest }
    'test' {
        # Built first: projects that are built by the test run wait for one another, and so do their tests.
        dotnet build Asft.sln -c Release -v q
        if ($LASTEXITCODE -eq 0) { dotnet test Asft.sln -c Release --no-build @Rest }
    }
    'pack' { dotnet pack src/Packages.slnf -c Release @Rest }
    'docs' {
        dotnet tool restore
        if ($LASTEXITCODE -eq 0) { dotnet build src/Packages.slnf -c Release }
        if ($LASTEXITCODE -eq 0) { dotnet docfx docfx.json @Rest }
    }
    'demo' { dotnet run -c Release --project samples/FineTune -- demo @Rest }
    'finetune' { dotnet run -c Release --project samples/FineTune -- @Rest }
    'bench' { dotnet run -c Release --project bench/Asft.Bench -- @Rest }
    'report' { dotnet run -c Release --project bench/Asft.Bench -- report @Rest }
    'kernels' { dotnet run -c Release --project tools/Asft.KernelCompiler -- @Rest }
    'mutants' {
        dotnet build tests/Asft.Kernels.Tests -c Release
        if ($LASTEXITCODE -eq 0) { dotnet run -c Release --project tools/Asft.KernelCompiler -- mutants @Rest }
    }
    'gpu' {
        if ($Rest -contains '--publish') {
            $Runtime = if ($IsWindows) { 'win-x64' } else { 'linux-x64' }
            $Others = @($Rest | Where-Object { $_ -ne '--publish' })
            Remove-Item out/gpu -Recurse -Force -ErrorAction SilentlyContinue
            dotnet publish tools/Asft.GpuCheck -c Release -r $Runtime -o out/gpu @Others
        }
        else {
            if ($IsLinux) {
                # Without a driver, the library of the virtual machine is the driver's.
                $Folder = bash scripts/libcuda-folder.sh
                if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
                $env:LD_LIBRARY_PATH = (@($Folder, $env:LD_LIBRARY_PATH) | Where-Object { $_ }) -join ':'
            }
            dotnet run -c Release --project tools/Asft.GpuCheck -- @Rest
        }
    }
    'oracle' { dotnet run -c Release --project tools/Asft.Oracle -- @Rest }
    'format' {
        if ($Rest -contains '--check') { dotnet format Asft.sln --verify-no-changes } else { dotnet format Asft.sln }
    }
    default {
        if ($Verb -notin 'help', '--help', '-h') { [Console]::Error.WriteLine("build.ps1: there is no verb '$Verb'.") }
        Write-Output @'
Usage: ./build.ps1 VERB [arguments]

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
'@
        if ($Verb -notin 'help', '--help', '-h') { exit 2 }
    }
}
exit $LASTEXITCODE
