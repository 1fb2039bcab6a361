using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// A safetensors file (github.com/huggingface/safetensors), open for reading, such as a checkpoint of a model. Each tensor is read from its place
/// in the file into memory that the caller has, and nowhere else. What the format forbids is an error: a header that does not fit the file,
/// tensors that overlap or leave a gap, a name that is there twice. Dtypes are float64, float32, float16, bfloat16 and int32. Not for use by
/// several threads at once.
/// </summary>
public sealed class SafeTensorsFile : IDisposable
{
    private readonly FileStream _file;
    private readonly Dictionary<string, SafeTensor> _tensors;

    private SafeTensorsFile(FileStream file, Dictionary<string, SafeTensor> tensors, Dictionary<string, string> metadata)
    {
        _file = file;
        _tensors = tensors;
        Metadata = metadata;
    }

    /// <summary>Names of the tensors, in the order of the header.</summary>
    public IReadOnlyCollection<string> Names => _tensors.Keys;

    /// <summary>The header's texts, by name; empty if there are none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Opens a file and checks its header; no tensor is read yet.</summary>
    /// <param name="path">Where it is.</param>
    /// <returns>The open file.</returns>
    /// <exception cref="ArgumentException">The path is null or empty.</exception>
    /// <exception cref="InvalidDataException">It is no safetensors file, or a damaged one, or has a tensor of a dtype that is not known here.</exception>
    /// <exception cref="IOException">It is not there, or the file system refuses.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static SafeTensorsFile Open(string path)
    {
        FileStream file = Directory(path).OpenRead(Path.GetFileName(path));
        try
        {
            var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
            Dictionary<string, SafeTensor> tensors = SafeTensors.ReadHeader(file, metadata);
            SafeTensors.CheckLayout(file, tensors);
            return new SafeTensorsFile(file, tensors, metadata);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Writes a file under another name, down to the disk, and then renames it: it is there whole or not at all, in place of the one that was.
    /// Tensors of larger elements come first, so that each lies aligned.
    /// </summary>
    /// <param name="path">Where to; the directory is there.</param>
    /// <param name="tensors">The tensors of any shape, strides and device, and their names, each of which is there once.</param>
    /// <param name="metadata">Texts for the header, by name; null for none.</param>
    /// <exception cref="ArgumentException">The path is null or empty, a name is there twice or reserved, or a dtype is none of the format's that are known here.</exception>
    /// <exception cref="IOException">The file system refuses, as where the disk is full; the file that was there is as it was.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written.</exception>
    public static void Write(
        string path, IReadOnlyList<(string Name, Tensor Tensor)> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        CacheDirectory directory = Directory(path);
        ArgumentNullException.ThrowIfNull(tensors);
        var names = new HashSet<string>(StringComparer.Ordinal) { SafeTensors.Metadata };
        foreach ((string name, Tensor tensor) in tensors)
        {
            ArgumentNullException.ThrowIfNull(tensor, nameof(tensors));
            if (name is null || !names.Add(name))
            {
                throw new ArgumentException($"tensors must have names that differ, and none \"{SafeTensors.Metadata}\"; got \"{name}\" again.", nameof(tensors));
            }

            if (!SafeTensors.Has(tensor.dtype))
            {
                throw new ArgumentException($"tensors must have a dtype of the format that is known here; \"{name}\" is {TensorMemory.Describe(tensor)}.", nameof(tensors));
            }
        }

        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        (string Name, Tensor Tensor)[] dense =
        [
            .. tensors.OrderByDescending(entry => SafeTensors.SizeOf(entry.Tensor.dtype))
                .Select(entry => (entry.Name, entry.Tensor.detach().cpu().contiguous())),
        ];
        directory.WriteWhole(Path.GetFileName(path), file => SafeTensors.Write(file, dense, metadata));
    }

    /// <summary>Dtype of a tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>The dtype.</returns>
    /// <exception cref="InvalidDataException">There is no tensor of that name.</exception>
    public ScalarType TypeOf(string name) => Find(name).Type;

    /// <summary>Shape of a tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>The shape.</returns>
    /// <exception cref="InvalidDataException">There is no tensor of that name.</exception>
    public IReadOnlyList<long> ShapeOf(string name) => Find(name).Shape;

    /// <summary>
    /// Reads a tensor into another one: straight into its memory where that is dense and on the host and of the same dtype, and by way of memory
    /// of this one tensor's size otherwise.
    /// </summary>
    /// <param name="name">Its name.</param>
    /// <param name="into">Where to, of the same shape, any floating dtype and any device. Nothing is recorded for a backward pass.</param>
    /// <exception cref="InvalidDataException">There is no tensor of that name, it has another shape or kind of numbers, or the file has become shorter.</exception>
    /// <exception cref="IOException">The file system refuses.</exception>
    /// <exception cref="ObjectDisposedException">The file has been closed.</exception>
    public void Read(string name, Tensor into)
    {
        ArgumentNullException.ThrowIfNull(into);
        SafeTensor tensor = Find(name);
        if (!tensor.Shape.AsSpan().SequenceEqual(into.shape))
        {
            throw Damaged.File(_file.Name, $"\"{name}\" has the shape {TensorMemory.Format(tensor.Shape)}, where {TensorMemory.Format(into.shape)} is wanted");
        }

        if ((tensor.Type == ScalarType.Int32) != (into.dtype == ScalarType.Int32) || !SafeTensors.Has(into.dtype))
        {
            throw Damaged.File(_file.Name, $"\"{name}\" is of {tensor.Type}, where {into.dtype} is wanted");
        }

        if (into.dtype == tensor.Type && into.device_type == DeviceType.CPU && into.is_contiguous())
        {
            SafeTensors.Read(_file, tensor, into);
            return;
        }

        using IDisposable noGrad = no_grad();
        using Tensor read = TensorMemory.Empty(tensor.Shape, tensor.Type, CPU);
        SafeTensors.Read(_file, tensor, read);
        into.copy_(read);
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file.Dispose();

    private static CacheDirectory Directory(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return new CacheDirectory(Path.GetDirectoryName(Path.GetFullPath(path)) ?? path);
    }

    private SafeTensor Find(string name) => _tensors.TryGetValue(name, out SafeTensor? tensor)
        ? tensor
        : throw Damaged.File(_file.Name, $"it has no tensor \"{name}\"");
}
