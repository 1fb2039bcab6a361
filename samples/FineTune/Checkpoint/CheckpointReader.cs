using Asft.Interop;
using FineTune.Transformer;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Checkpoint;

/// <summary>From a checkpoint's folder to a model. Each tensor is read from its place in its file into the model's own memory.</summary>
internal static class CheckpointReader
{
    private const string Embedding = "model.embed_tokens.weight";
    private const string Head = "lm_head.weight";

    /// <summary>Reads a model.</summary>
    /// <param name="folder">The checkpoint.</param>
    /// <param name="type">Dtype of its weights; null for the file's own.</param>
    /// <param name="isTrained">Makes float32 of float16, which is too narrow for gradients without a loss scale.</param>
    /// <param name="readsWeights">Whether the weights are read; otherwise they are anything, until another process gives its own.</param>
    /// <exception cref="UserErrorException">There is none, or none that this program has a model for.</exception>
    /// <exception cref="InvalidDataException">A file is damaged, or does not have the tensors that the config and the index say.</exception>
    public static Decoder Load(string folder, ScalarType? type = null, bool isTrained = false, bool readsWeights = true)
    {
        ModelConfig config = ModelConfig.Read(folder);
        Dictionary<string, HashSet<string>> files = CheckpointIndex.Read(folder) ?? OneFile(folder);
        var opened = new List<SafeTensorsFile>();
        try
        {
            // Every header is looked at before there is any model.
            var places = new Dictionary<string, SafeTensorsFile>(StringComparer.Ordinal);
            foreach ((string path, HashSet<string> names) in files)
            {
                var file = SafeTensorsFile.Open(path);
                opened.Add(file);
                CheckNames(path, file.Names, names);
                foreach (string name in names)
                {
                    places.Add(name, file);
                }
            }

            return Read(folder, config, places, type, isTrained, readsWeights);
        }
        finally
        {
            opened.ForEach(file => file.Dispose());
        }
    }

    private static Dictionary<string, HashSet<string>> OneFile(string folder)
    {
        string path = Path.Combine(folder, CheckpointIndex.SingleFileName);
        using var file = SafeTensorsFile.Open(path);
        return new Dictionary<string, HashSet<string>> { [path] = [.. file.Names] };
    }

    private static Decoder Read(
        string folder, ModelConfig config, Dictionary<string, SafeTensorsFile> places, ScalarType? type, bool isTrained, bool readsWeights)
    {
        SafeTensorsFile Find(string name) => places.TryGetValue(name, out SafeTensorsFile? file)
            ? file
            : throw new InvalidDataException($"The checkpoint '{folder}' has no tensor \"{name}\", which its config asks for.");

        ScalarType wanted = type ?? Find(Embedding).TypeOf(Embedding);
        var model = new Decoder(config, isTrained && wanted == ScalarType.Float16 ? ScalarType.Float32 : wanted);
        try
        {
            foreach ((string name, Parameter parameter) in model.Weights)
            {
                SafeTensorsFile file = Find(name);
                if (readsWeights)
                {
                    file.Read(name, parameter);
                }

                places.Remove(name);
            }

            // Where embedding and head are tied, some files have both. Some have the rotary frequencies, which the config tells.
            string? left = places.Keys.FirstOrDefault(name => name != Head && !name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal));
            return left is null
                ? model
                : throw new InvalidDataException($"The checkpoint '{folder}' has a tensor \"{left}\", which a model of its config does not have.");
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private static void CheckNames(string path, IEnumerable<string> found, HashSet<string> wanted)
    {
        HashSet<string> names = [.. found];
        if (wanted.FirstOrDefault(name => !names.Contains(name)) is { } missing)
        {
            throw new InvalidDataException($"'{path}' has no tensor \"{missing}\", which {CheckpointIndex.FileName} says is in it.");
        }

        if (names.FirstOrDefault(name => !wanted.Contains(name)) is { } unlisted)
        {
            throw new InvalidDataException($"'{path}' has a tensor \"{unlisted}\", which {CheckpointIndex.FileName} does not say is in it.");
        }
    }
}
