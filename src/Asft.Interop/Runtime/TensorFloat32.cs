using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// Lets torch's float32 products on CUDA devices run on tensor cores, which read 11 significant bits of each factor, until it is disposed. The switch
/// is one for the whole process: the first user turns it on, and the last one puts it back.
/// </summary>
internal sealed class TensorFloat32 : IDisposable
{
    private static readonly Lock s_lock = new();
    private static int s_users;
    private static bool s_before;

    private TensorFloat32()
    {
    }

    /// <summary>Allows it.</summary>
    public static TensorFloat32 Allow()
    {
        lock (s_lock)
        {
            if (s_users == 0)
            {
                s_before = backends.cuda.matmul.allow_tf32;
                backends.cuda.matmul.allow_tf32 = true;
            }

            s_users++;
            return new TensorFloat32();
        }
    }

    /// <summary>Forbids it again, if it was forbidden.</summary>
    public void Dispose()
    {
        lock (s_lock)
        {
            s_users--;
            if (s_users == 0)
            {
                backends.cuda.matmul.allow_tf32 = s_before;
            }
        }
    }
}
