#!/usr/bin/env bash
# Exchanges the loss of three public TorchSharp trainers, trains with theirs and with ours by turns, and prints what docs/drop-in.md shows.
# Usage: drop-in.sh [STEPS], 20 if not said. DROP_IN_FROM names a place with clones of the repositories, instead of https://github.com.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/ensure-libstdcxx.sh
steps=${1:-20} from=${DROP_IN_FROM:-https://github.com} out=$PWD/out/drop-in
export OMP_WAIT_POLICY=passive # torch's threads wait without spinning: where others use the machine, spinning counts as processor time
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
mkdir -p "$out/lines"
# What is built there is not ours, and not held to our rules.
echo 'root = true' > "$out/.editorconfig"
for file in Directory.Build.props Directory.Build.targets Directory.Packages.props; do echo '<Project />' > "$out/$file"; done

get() { # NAME OWNER/REPOSITORY COMMIT FILE...
  local clone=$out/$1
  [ -d "$clone" ] || git clone -q --filter=tree:0 --no-checkout "$from/$2" "$clone"
  git -C "$clone" sparse-checkout set --no-cone "${@:4}"
  git -C "$clone" checkout -q --force "$3"
}

project() { # NAME.EDIT ITEM...: a library of their files and our adapter
  local name=$1 adapter=${1%%.*}
  cat > "$out/$name/$name.csproj" <<XML
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <Nullable>annotations</Nullable>
    <LangVersion>preview</LangVersion>
    <WarningLevel>0</WarningLevel>
    <EnableDefaultItems>false</EnableDefaultItems>
    <NuGetAudit>false</NuGetAudit>
  </PropertyGroup>
  <ItemGroup>
    ${@:2}
    <Compile Include="../../../scripts/drop-in/$adapter.cs" />
    <ProjectReference Include="../../../src/Asft.Interop/Asft.Interop.csproj" />
    <PackageReference Include="TorchSharp-cpu" Version="0.107.0" />
  </ItemGroup>
</Project>
XML
}

edit() { # CLONE NAME.EDIT [FILE SED]...: a copy of their files, each FILE edited; counts the lines
  local clone=$out/$1 copy=$out/$2
  rm -rf "${copy:?}"
  mkdir "$copy"
  cp -r "$clone/src" "$copy"
  while [ $# -gt 2 ]; do
    sed -i "$4" "$copy/$3"
    set -- "$1" "$2" "${@:5}"
  done
  { diff -r "$clone/src" "$copy/src" || true; } | awk '/^</ { minus++ } /^>/ { plus++ } END { print "+" plus + 0, "-" minus + 0 }' > "$out/lines/${copy##*/}"
}

get ml dotnet/machinelearning cd2fbd617c13bcb98ec8b6554bfa20ac603e4572 /src/Microsoft.ML.GenAI.Core/ /src/Microsoft.ML.GenAI.LLaMA/
get examples dotnet/TorchSharpExamples 32e047a6d7bc3ea00bb02963128c317260f6d210 /src/CSharp/ /src/Utils/
get nano biegehydra/NanoGptDotnet 0951e685e6a3db71742541067cfdc95e343cd5b0 /src/NanoGpt/ /src/Shared/
sed -i 's/BatchSize = 64/BatchSize = 8/' "$out/nano/src/NanoGpt/NanoGpt.cs" # theirs as well: a step of 64 takes a minute on two cores

# The edits.
asft=Asft.Interop.AsftFunctional sft='objective: Asft.Kernels.LossObjective.Sft' core=src/Microsoft.ML.GenAI.Core
llama=src/Microsoft.ML.GenAI.LLaMA/LlamaForCausalLM.cs
edit ml GenAI.theirs
edit ml GenAI.asft $llama "s/nn.functional.cross_entropy(shiftLogits, shiftLabels)/$asft.asft_loss(shiftLogits, shiftLabels, $sft)/"
edit ml GenAI.inPlace $llama "s/nn.functional.cross_entropy(shiftLogits, shiftLabels)/$asft.asft_loss(shiftLogits, shiftLabels, $sft, inPlace: true)/"
edit ml GenAI.linear $core/Trainer/CausalLMSupervisedFineTuningTrainer.cs 's/Logits!.Dispose/Logits?.Dispose/' \
  $llama "/var outputs = this.model.forward(input);/a\\
        if (input.Labels is not null)\\
        {\\
            outputs.Loss = $asft.linear_asft_loss(outputs.LastHiddenState, this.lm_head, input.Labels, $sft);\\
            return outputs;\\
        }"
sequence=src/CSharp/CSharpExamples/SequenceToSequence.cs
edit examples Sequence.theirs
edit examples Sequence.asft $sequence "s/= CrossEntropyLoss()/= new Asft.Interop.AsftLoss(Asft.Kernels.LossObjective.Sft)/"
nano=src/NanoGpt/NanoGpt.cs
edit nano NanoGpt.theirs
edit nano NanoGpt.asft $nano "s/torch.nn.functional.cross_entropy(logits, targets)/$asft.asft_loss(logits, targets, $sft)/"

for variant in theirs asft inPlace linear; do
  project GenAI.$variant "<Compile Include=\"$core/Module/*.cs;$core/Extension/*.cs;$core/Utils.cs;$core/Pipeline/CausalLMModel*.cs;$core/Utility/AttentionMaskConverter.cs;$core/Utility/Cache.cs;src/Microsoft.ML.GenAI.LLaMA/LlamaConfig.cs;$llama;src/Microsoft.ML.GenAI.LLaMA/Module/*.cs\" />
    <EmbeddedResource Include=\"src/Microsoft.ML.GenAI.LLaMA/Resource/Config/*.json\" LogicalName=\"Microsoft.ML.GenAI.LLaMA.Resource.Config.%(Filename)%(Extension)\" />"
done
for variant in theirs asft; do
  # The criterion is a local variable of their Run, which needs a data set at a place of its own: what the line says is evaluated here.
  made=$(sed -n 's/.*var loss = \(.*Loss(.*)\);/\1/p' "$out/Sequence.$variant/$sequence" | head -1)
  echo "using TorchSharp; using static TorchSharp.torch; using static TorchSharp.torch.nn;
    internal static class Criterion { public static Loss<Tensor, Tensor, Tensor> Make() => $made; }" > "$out/Sequence.$variant/Criterion.cs"
  project Sequence.$variant "<Compile Include=\"$sequence;src/CSharp/Models/SequenceToSequence.cs;src/Utils/Vocab.cs;src/Utils/Datasets.cs;src/Utils/TorchText.Data.Utils.cs;Criterion.cs\" />"
  project NanoGpt.$variant "<Compile Include=\"$nano;src/Shared/*.cs\" />"
done

dotnet build scripts/drop-in -c Release -v quiet -o "$out/built"
cp "$out/nano/src/NanoGpt/input.txt" "$out/text.txt"
run() { echo; "$out/built/DropIn" "$out/text.txt" "$steps" "$@"; }
run GenAI.theirs GenAI.asft GenAI.inPlace GenAI.linear
run GenAI.theirs:sparse GenAI.asft:sparse GenAI.linear:sparse
run GenAI.theirs:composed GenAI.asft:fused GenAI.linear:linear
run Sequence.theirs Sequence.asft
run NanoGpt.theirs NanoGpt.asft
