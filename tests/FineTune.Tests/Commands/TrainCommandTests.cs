using FineTune.Checkpoint;
using FineTune.Report;
using FineTune.Transformer;
using FineTune.Tuning;
using TorchSharp;
using static TorchSharp.torch;

namespace FineTune.Tests.Commands;

/// <summary>From a checkpoint and examples to a fine-tuned checkpoint, by each way that the options offer; and what does not go together.</summary>
public class TrainCommandTests : ProgramTest
{
    [TestCase("sft")]
    [TestCase("asft", "--kl-direction", "reverse", "--recompute", "--type", "bfloat16")]
    [TestCase("asft", "--lora-rank", "2", "--lora-dropout", "0.1", "--lora-targets", "q_proj,v_proj", "--no-packing")]
    public void ACheckpointIsFineTuned(string mode, params string[] more)
    {
        string output = Succeed(Training(Tuned, ["--mode", mode, .. more]));
        Assert.That(output, Does.Contain("12 examples").And.Contain("Wrote the checkpoint").And.Not.Contain("Warning"));
        Assert.That(File.ReadAllLines(Path.Combine(Tuned, TrainingLog.MetricsName)), Has.Length.GreaterThanOrEqualTo(8));

        double before = Loss(Model);
        Assert.That(Loss(Tuned), Is.LessThan(before));
        Assert.That(Succeed("eval", "--model", Tuned, "--data", Data, "--reference-model", Model, "--answers", "2"), Does.Contain("KL from reference").And.Contain("of 2"));
        Assert.That(Run("generate", "--model", Tuned, "--prompt", "ab", "--tokens", "5").Code, Is.Zero);
        Assert.That(Succeed("check-tokenizer", "--model", Tuned), Does.Contain("is supported"));
    }

    [TestCase("hidden", "exact", 1e-3)]
    [TestCase("labels", "k3", 1e-5)]
    [TestCase("top-k", "exact", 1e-3)]
    public void ACachedReferenceIsMadeOnceAndUsed(string form, string estimator, double rounding)
    {
        string[] cache = ["cache", "--model", Model, "--data", Data, "--length", "24", "--output", PathOf("cache"), "--form", form, "--k", "20"];
        Assert.That(Succeed(cache), Does.Contain("has 12 examples of"));
        Succeed(cache);
        Succeed(Training(Tuned, "--cache", PathOf("cache"), "--kl-estimator", estimator));
        TrainingStep[] steps = MetricsFile.Read(Path.Combine(Tuned, TrainingLog.MetricsName));
        Assert.That(steps[0].Kl, Is.LessThan(rounding));
        Assert.That(steps[^1].Kl, Is.GreaterThan(steps[0].Kl));

        File.AppendAllText(Data, """{"prompt": "a", "response": "b"}""");
        Refuse("was made with another data set", Training(PathOf("other"), "--cache", PathOf("cache"), "--kl-estimator", estimator));
    }

    [Test]
    public void AReferenceThatIsNotTheModelIsToldOf()
    {
        Succeed(Training(Tuned, "--mode", "sft"));
        Assert.That(
            Succeed(Training(PathOf("next"), "--reference-model", Tuned)),
            Does.Contain("Warning: at the first step, the KL from the reference is").And.Contain("another model"));
    }

    [TestCase("--mode asft needs a reference", "--reference", "none")]
    [TestCase("--reference adapters-off needs --lora-rank", "--reference", "adapters-off")]
    [TestCase("--reference cached needs --cache", "--reference", "cached")]
    [TestCase("--cache does not go with --reference frozen", "--reference", "frozen", "--cache", "c")]
    [TestCase("There is no reference cache in 'nowhere'", "--cache", "nowhere")]
    [TestCase("--lora-targets must be of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, not 'qproj'", "--lora-targets", "qproj")]
    [TestCase("--lora-dropout must be a number from 0 to below 1, not '1'", "--lora-dropout", "1")]
    [TestCase("--type must be one of checkpoint, float32, bfloat16, not 'int8'", "--type", "int8")]
    [TestCase("--steps must be a whole number, at least 1, not '0'", "--steps", "0")]
    public void WhatDoesNotGoTogetherIsRefused(string says, params string[] more) => Refuse(says, Training(Tuned, more));

    [Test]
    public void InputThatCannotBeUsedIsRefused()
    {
        File.AppendAllText(Data, "{\"prompt\": \"a\"}");
        Refuse("data.jsonl, line 13: there is no text named \"response\"", Training(Tuned));
        File.WriteAllText(Data, "");
        Refuse("There is nothing to learn from", Training(Tuned));
        File.Delete(Data);
        Refuse("data.jsonl", Training(Tuned));
        File.Delete(Path.Combine(Model, "model.safetensors"));
        File.WriteAllText(Data, """{"prompt": "a", "response": "b"}""");
        Refuse("has neither model.safetensors nor", Training(Tuned));
        File.Delete(Path.Combine(Model, "tokenizer.json"));
        Refuse("tokenizer.json", Training(Tuned));
    }

    [Test]
    public void AnOutputThatCannotBeUsedIsRefused()
    {
        File.WriteAllText(PathOf("file"), "");
        Refuse("Cannot write to the output directory", Training(PathOf("file")));
        Refuse("--output is the checkpoint that --model starts from", Training(Model));
        Succeed(Training(Tuned, "--mode", "sft"));
        Refuse("has a training-state.safetensors already: --resume goes on", Training(Tuned, "--mode", "sft"));
        Refuse("differs from this one: --seed (was 1, is 2)", Training(Tuned, "--mode", "sft", "--resume", "--seed", "2"));
    }

    [Test]
    public void ALossThatIsNoNumberEndsTheTraining()
    {
        using (DisposeScope scope = NewDisposeScope())
        {
            Decoder model = CheckpointReader.Load(Model);
            using var noGrad = no_grad();
            model.Weights.Single(entry => entry.Name == "model.norm.weight").Parameter.fill_(float.NaN);
            CheckpointWriter.Write(Model, Model, model);
        }

        Refuse("Step 1: the loss is NaN", Training(Tuned));
        Assert.That(File.Exists(Path.Combine(Tuned, TuningState.FileName)), Is.False);
    }

    private double Loss(string model)
    {
        string line = Succeed("eval", "--model", model, "--data", Data).Split('\n').Single(text => text.StartsWith("loss", StringComparison.Ordinal));
        return double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
