using System.Globalization;
using Asft.Interop;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>
/// All that a training needs to go on as if nothing had happened, in one file, which is there whole or not at all: what the optimizer keeps, in
/// float32, how many steps were made, and with which settings. The data's order, the learning rate and dropout follow from the step.
/// </summary>
internal static class TuningState
{
    public const string FileName = "training-state.safetensors";

    private const string StepKey = "step";
    private const string FormatKey = "format";
    private const string Format = "asft-finetune-1";

    /// <summary>Saves the state in place of the one before.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="optimizer">What to save.</param>
    /// <param name="settings">What another training would differ in, by name.</param>
    /// <exception cref="IOException">The file system refuses; the state before is untouched.</exception>
    public static void Save(string folder, MasterAdamW optimizer, IReadOnlyDictionary<string, string> settings)
    {
        var metadata = new Dictionary<string, string>(settings)
        {
            [FormatKey] = Format,
            [StepKey] = optimizer.Steps.ToString(CultureInfo.InvariantCulture),
        };
        SafeTensorsFile.Write(Path.Combine(folder, FileName), optimizer.State, metadata);
    }

    /// <summary>Goes on where a saved training ended; without one, at the beginning.</summary>
    /// <param name="folder">Where it is.</param>
    /// <param name="optimizer">What it is read into.</param>
    /// <param name="settings">What they must be.</param>
    /// <exception cref="UserErrorException">It is that of a training with other settings; the message says which.</exception>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public static void Resume(string folder, MasterAdamW optimizer, IReadOnlyDictionary<string, string> settings)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return;
        }

        using var file = SafeTensorsFile.Open(path);
        if (file.Metadata.GetValueOrDefault(FormatKey) != Format || !int.TryParse(file.Metadata.GetValueOrDefault(StepKey), out int step) || step < 0)
        {
            throw new InvalidDataException($"'{path}' is no state of a training of this program.");
        }

        string[] differences =
        [
            .. settings.Where(setting => file.Metadata.GetValueOrDefault(setting.Key) != setting.Value)
                .Select(setting => $"{setting.Key} (was {file.Metadata.GetValueOrDefault(setting.Key)}, is {setting.Value})"),
        ];
        if (differences.Length > 0)
        {
            throw new UserErrorException($"--resume: the training in '{folder}' differs from this one: {string.Join(", ", differences)}.");
        }

        using (no_grad())
        {
            foreach ((string name, Tensor tensor) in optimizer.State)
            {
                file.Read(name, tensor);
            }
        }

        optimizer.Resume(step);
    }
}
