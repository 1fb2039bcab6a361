using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using TorchSharp;

// DropIn TEXT STEPS VARIANT...: trains the variants by turns, step for step, from the same weights on the same batches, and prints a table. The
// first is what the others are compared with. A variant is an assembly, NAME.EDIT, and after a colon the loss if it is not the assembly's own.
// DropIn TEXT peak VARIANT: trains one alone for a few steps and prints the most memory that the process had.
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
torch.set_num_threads(2);
string text = args[0];
string[] variants = args[2..];

if (args[1] == "peak")
{
    Func<int, float> alone = Create(variants[0]);
    for (int step = 0; step < 5; step++)
    {
        alone(step);
    }

    using var self = Process.GetCurrentProcess();
    Console.WriteLine(self.PeakWorkingSet64 >> 20);
    return;
}

int steps = int.Parse(args[1]);
Func<int, float>[] trainers = [.. variants.Select(Create)];
float[][] losses = [.. variants.Select(_ => new float[steps])];
double[][] seconds = [.. variants.Select(_ => new double[steps])], processor = [.. variants.Select(_ => new double[steps])];
for (int step = 0; step < steps; step++)
{
    for (int turn = 0; turn < variants.Length; turn++)
    {
        int variant = (step + turn) % variants.Length;
        torch.manual_seed(1000 + step);     // the same dropout and the same batch for all
        TimeSpan before = Environment.CpuUsage.TotalTime;
        long begin = Stopwatch.GetTimestamp();
        losses[variant][step] = trainers[variant](step);
        seconds[variant][step] = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        processor[variant][step] = (Environment.CpuUsage.TotalTime - before).TotalSeconds;
    }
}

Console.WriteLine("| trainer | lines | loss, first to last | farthest from the first row | step, median (least) | processor time | step, processor time against the first row | peak memory |");
Console.WriteLine("|---|---|---|---|---|---|---|---|");
for (int variant = 0; variant < variants.Length; variant++)
{
    float apart = losses[variant].Zip(losses[0], (own, theirs) => Math.Abs(own - theirs)).Max();
    double wall = Median(seconds[variant]), busy = Median(processor[variant]);
    Console.WriteLine(
        $"| `{variants[variant]}` | {Lines(variants[variant])} | {losses[variant][0]:F4} to {losses[variant][^1]:F4} | {apart:E1} "
        + $"| {wall:F2} s ({seconds[variant][2..].Min():F2}) | {busy:F2} s "
        + $"| {wall / Median(seconds[0]):F2} x, {busy / Median(processor[0]):F2} x | {Peak(variants[variant])} MiB |");
}

Func<int, float> Create(string variant)
{
    string[] parts = variant.Split(':');
    torch.manual_seed(1);
    MethodInfo create = Assembly.Load(parts[0]).GetType("Adapter", throwOnError: true)!.GetMethod("Create")!;
    return (Func<int, float>)create.Invoke(null, [File.ReadAllText(text), parts.ElementAtOrDefault(1)])!;
}

// What `diff` counted when the edit was made, see drop-in.sh.
string Lines(string variant) => File.ReadAllText(Path.Combine(Path.GetDirectoryName(text)!, "lines", variant.Split(':')[0])).Trim();

string Peak(string variant)
{
    var start = new ProcessStartInfo(Environment.ProcessPath!, [text, "peak", variant]) { RedirectStandardOutput = true };
    using Process process = Process.Start(start)!;
    return process.StandardOutput.ReadToEnd().Trim().Split('\n')[^1];
}

// The first two steps compile and take memory.
static double Median(double[] values)
{
    double[] sorted = [.. values[2..].Order()];
    return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
}
