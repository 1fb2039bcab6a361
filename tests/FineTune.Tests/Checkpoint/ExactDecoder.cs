using System.Buffers.Binary;
using System.Text.Json;

namespace FineTune.Tests.Checkpoint;

/// <summary>
/// The forward pass of a checkpoint in double precision, token by token and number by number, from the files' bytes: it shares nothing with the
/// sample, nor with torch.
/// </summary>
internal sealed class ExactDecoder
{
    private readonly JsonElement config;
    private readonly Dictionary<string, double[]> weights = [];

    public ExactDecoder(string folder)
    {
        config = JsonElement.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json")));
        foreach (string file in Directory.GetFiles(folder, "*.safetensors"))
        {
            ReadFile(File.ReadAllBytes(file));
        }
    }

    private int Width => Int("hidden_size");

    /// <summary>Logits of each token of a text.</summary>
    public double[][] Logits(int[] tokens)
    {
        double[][] hidden = Array.ConvertAll(tokens, token => Row("model.embed_tokens.weight", token, Width));
        for (int layer = 0; layer < Int("num_hidden_layers"); layer++)
        {
            string name = $"model.layers.{layer}.";
            double[][] normalized = Array.ConvertAll(hidden, state => Normalize(state, name + "input_layernorm.weight"));
            double[][] attended = Attend(name + "self_attn.", normalized);
            hidden = [.. hidden.Zip(attended, Add)];
            double[][] inner = Array.ConvertAll(
                hidden, state => Perceptron(name + "mlp.", Normalize(state, name + "post_attention_layernorm.weight")));
            hidden = [.. hidden.Zip(inner, Add)];
        }

        string head = weights.ContainsKey("lm_head.weight") ? "lm_head.weight" : "model.embed_tokens.weight";
        return Array.ConvertAll(hidden, state => Multiply(head, Normalize(state, "model.norm.weight")));
    }

    private static double[] Add(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];

    private double[][] Attend(string name, double[][] hidden)
    {
        int heads = Int("num_attention_heads");
        int pairs = config.TryGetProperty("num_key_value_heads", out JsonElement count) ? count.GetInt32() : heads;
        int size = config.TryGetProperty("head_dim", out JsonElement dim) ? dim.GetInt32() : Width / heads;
        double[][] attended = Array.ConvertAll(hidden, _ => new double[heads * size]);
        for (int head = 0; head < heads; head++)
        {
            double[][] queries = Head(name + "q", hidden, head, size, rotates: true);
            double[][] keys = Head(name + "k", hidden, head * pairs / heads, size, rotates: true);
            double[][] values = Head(name + "v", hidden, head * pairs / heads, size, rotates: false);
            for (int to = 0; to < hidden.Length; to++)
            {
                double[] scores = new double[to + 1];
                for (int from = 0; from <= to; from++)
                {
                    scores[from] = Math.Exp(queries[to].Zip(keys[from], (q, k) => q * k).Sum() / Math.Sqrt(size));
                }

                for (int channel = 0; channel < size; channel++)
                {
                    attended[to][(head * size) + channel] = Enumerable.Range(0, to + 1).Sum(from => scores[from] * values[from][channel]) / scores.Sum();
                }
            }
        }

        return Array.ConvertAll(attended, state => Multiply(name + "o_proj.weight", state));
    }

    /// <summary>One head's queries, keys or values, of each token.</summary>
    private double[][] Head(string name, double[][] hidden, int head, int size, bool rotates)
    {
        double[][] all = new double[hidden.Length][];
        for (int position = 0; position < hidden.Length; position++)
        {
            double[] one = Multiply(name + "_proj.weight", hidden[position])[(head * size)..((head + 1) * size)];
            one = weights.ContainsKey(name + "_norm.weight") ? Normalize(one, name + "_norm.weight") : one;
            all[position] = rotates ? Rotate(one, position) : one;
        }

        return all;
    }

    private double[] Rotate(double[] head, int position)
    {
        int half = head.Length / 2;
        double[] rotated = new double[head.Length];
        for (int pair = 0; pair < half; pair++)
        {
            double angle = position * Frequency(pair, head.Length);
            rotated[pair] = (head[pair] * Math.Cos(angle)) - (head[pair + half] * Math.Sin(angle));
            rotated[pair + half] = (head[pair + half] * Math.Cos(angle)) + (head[pair] * Math.Sin(angle));
        }

        return rotated;
    }

    private double Frequency(int pair, int size)
    {
        JsonElement rotary = config.TryGetProperty("rope_parameters", out JsonElement parameters) ? parameters
            : config.TryGetProperty("rope_scaling", out JsonElement scaling) ? scaling
            : default;
        bool has = rotary.ValueKind == JsonValueKind.Object;
        double theta = has && rotary.TryGetProperty("rope_theta", out JsonElement inside) ? inside.GetDouble()
            : config.TryGetProperty("rope_theta", out JsonElement beside) ? beside.GetDouble()
            : 10_000;
        double frequency = 1 / Math.Pow(theta, 2.0 * pair / size);
        string? type = !has ? null : rotary.TryGetProperty("rope_type", out JsonElement name) ? name.GetString() : rotary.GetProperty("type").GetString();
        if (type is null or "default")
        {
            return frequency;
        }

        double factor = rotary.GetProperty("factor").GetDouble();
        if (type == "linear")
        {
            return frequency / factor;
        }

        // Llama 3.1: by wavelength.
        double original = rotary.GetProperty("original_max_position_embeddings").GetDouble();
        double low = rotary.GetProperty("low_freq_factor").GetDouble();
        double high = rotary.GetProperty("high_freq_factor").GetDouble();
        double wavelength = 2 * Math.PI / frequency;
        if (wavelength < original / high)
        {
            return frequency;
        }

        if (wavelength > original / low)
        {
            return frequency / factor;
        }

        double smooth = ((original / wavelength) - low) / (high - low);
        return ((1 - smooth) * frequency / factor) + (smooth * frequency);
    }

    private double[] Perceptron(string name, double[] state)
    {
        double[] gate = Multiply(name + "gate_proj.weight", state);
        double[] up = Multiply(name + "up_proj.weight", state);
        return Multiply(name + "down_proj.weight", [.. gate.Zip(up, (g, u) => g / (1 + Math.Exp(-g)) * u)]);
    }

    private double[] Normalize(double[] state, string weight)
    {
        double scale = 1 / Math.Sqrt(state.Average(x => x * x) + config.GetProperty("rms_norm_eps").GetDouble());
        return [.. state.Zip(weights[weight], (x, w) => x * scale * w)];
    }

    private double[] Multiply(string weight, double[] state)
    {
        int rows = weights[weight].Length / state.Length;
        double[]? bias = weights.GetValueOrDefault(weight.Replace(".weight", ".bias", StringComparison.Ordinal));
        double[] product = new double[rows];
        for (int row = 0; row < rows; row++)
        {
            product[row] = (bias?[row] ?? 0) + Row(weight, row, state.Length).Zip(state, (w, x) => w * x).Sum();
        }

        return product;
    }

    private double[] Row(string weight, int row, int width) => weights[weight][(row * width)..((row + 1) * width)];

    private int Int(string name) => config.GetProperty(name).GetInt32();

    private void ReadFile(byte[] bytes)
    {
        int header = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        foreach (JsonProperty entry in JsonElement.Parse(bytes.AsSpan(8, header)).EnumerateObject().Where(entry => entry.Name != "__metadata__"))
        {
            int begin = 8 + header + entry.Value.GetProperty("data_offsets")[0].GetInt32();
            int end = 8 + header + entry.Value.GetProperty("data_offsets")[1].GetInt32();
            bool isFloat = entry.Value.GetProperty("dtype").GetString() == "F32";
            weights[entry.Name] =
            [
                .. bytes[begin..end].Chunk(isFloat ? 4 : 2)
                    .Select(number => isFloat ? BitConverter.ToSingle(number) : (double)BitConverter.ToSingle([0, 0, .. number])),
            ];
        }
    }
}
