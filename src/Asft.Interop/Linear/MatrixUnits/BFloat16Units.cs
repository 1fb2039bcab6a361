using System.Runtime.Intrinsics.X86;
using Asft.Kernels;

namespace Asft.Interop;

/// <summary>
/// The processor's bfloat16 units (AVX512_BF16, AMX), which multiply bfloat16 numbers and add in float32. Torch's own products of bfloat16
/// matrices use them too, but round their results to bfloat16; what does not is the micro-kernel of oneDNN below them, which libtorch exports.
/// </summary>
/// <remarks>
/// It is a C++ function outside of any class, at::native::cpublas::brgemm, bound by its name as compilers write it. Where it is missing or has
/// other arguments, its name is another one, and there are no units. It throws where oneDNN is switched off or held back, and a C++ exception
/// ends a process: so all that it would throw for is asked before.
/// </remarks>
internal static unsafe class BFloat16Units
{
    /// <summary>Rows of a tile of results.</summary>
    public const int TileRows = 32;

    /// <summary>Columns of a tile of results: four registers.</summary>
    public const int TileColumns = 64;

    private static readonly Once<Functions?> s_functions = new(static () => Functions.Find());

    /// <summary>Whether there are any, and torch may use them.</summary>
    public static bool AreThere => s_functions.Value is { } functions && functions.IsOneDnnEnabled;

    /// <summary>
    /// <c>tile = a b</c>, or <c>tile += a b</c>, for a tile of <see cref="TileRows"/> rows one after the other.
    /// </summary>
    /// <param name="a">Rows of <paramref name="depth"/> bfloat16.</param>
    /// <param name="stride">Distance of two rows of <paramref name="a"/>, in elements.</param>
    /// <param name="b">Pairs of rows, as <see cref="BFloat16Packing"/> writes them.</param>
    /// <param name="depth">
    /// The number of products that a result is the sum of; even. Code is made for every depth and stride and kept by each thread for good: there
    /// may be a few of them, not one for every number of tokens.
    /// </param>
    /// <param name="tile">The results.</param>
    /// <param name="add">Adds to what is there.</param>
    public static void Multiply(ushort* a, long stride, uint* b, long depth, float* tile, bool add) => s_functions.Value!.Multiply(
        TileRows, TileColumns, depth, stride, TileColumns, TileColumns, add ? (byte)1 : (byte)0, a, b, tile, 1);

    /// <summary>Gives the units back, which this thread may have set up for the products that it made.</summary>
    public static void Release() => s_functions.Value!.Release(1);

    private sealed class Functions
    {
        private readonly delegate* unmanaged<nint> _context;
        private readonly delegate* unmanaged<nint, byte> _userEnabled;

        private Functions(nint multiply, nint release, nint context, nint userEnabled)
        {
            Multiply = (delegate* unmanaged<long, long, long, long, long, long, byte, ushort*, uint*, float*, byte, void>)multiply;
            Release = (delegate* unmanaged<byte, void>)release;
            _context = (delegate* unmanaged<nint>)context;
            _userEnabled = (delegate* unmanaged<nint, byte>)userEnabled;
        }

        public delegate* unmanaged<long, long, long, long, long, long, byte, ushort*, uint*, float*, byte, void> Multiply { get; }

        public delegate* unmanaged<byte, void> Release { get; }

        /// <summary>False while the user has told torch to do without oneDNN.</summary>
        public bool IsOneDnnEnabled => _userEnabled(_context()) != 0;

        /// <summary>The functions; null where they would not work.</summary>
        public static Functions? Find()
        {
            // What packs the operands is written for AVX-512, which whatever has the units has too.
            if (!Avx512BW.IsSupported || IsOneDnnHeldBack)
            {
                return null;
            }

            var supported = (delegate* unmanaged<byte>)LibTorch.Find(
                "_ZN2at3cpu24is_avx512_bf16_supportedEv", "?is_avx512_bf16_supported@cpu@at@@YA_NXZ");
            var hasOneDnn = (delegate* unmanaged<byte>)LibTorch.Find("_ZN2at7Context9hasMKLDNNEv", "?hasMKLDNN@Context@at@@SA_NXZ");
            nint multiply = LibTorch.Find(
                "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb", "?brgemm@cpublas@native@at@@YAX_J00000_NPEBUBFloat16@c10@@2PEAM_N@Z");
            nint release = LibTorch.Find("_ZN2at6native7cpublas14brgemm_releaseEb", "?brgemm_release@cpublas@native@at@@YAX_N@Z");
            nint context = LibTorch.Find("_ZN2at13globalContextEv", "?globalContext@at@@YAAEAVContext@1@XZ");
            nint userEnabled = LibTorch.Find("_ZNK2at7Context17userEnabledMkldnnEv", "?userEnabledMkldnn@Context@at@@QEBA_NXZ");
            bool areThere = supported != null && hasOneDnn != null && multiply != 0 && release != 0 && context != 0 && userEnabled != 0;
            return areThere && supported() != 0 && hasOneDnn() != 0 ? new Functions(multiply, release, context, userEnabled) : null;
        }

        /// <summary>oneDNN's own variables, which keep it from using newer instructions.</summary>
        private static bool IsOneDnnHeldBack =>
            Environment.GetEnvironmentVariable("ONEDNN_MAX_CPU_ISA") is not null || Environment.GetEnvironmentVariable("DNNL_MAX_CPU_ISA") is not null;
    }
}
