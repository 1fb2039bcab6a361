#if !NET9_0_OR_GREATER
namespace Asft.Interop;

/// <summary>What .NET 9 added, for .NET 8.</summary>
internal static class Net8Convert
{
    extension(Convert)
    {
        public static string ToHexStringLower(byte[] bytes) =>
            string.Create(2 * bytes.Length, bytes, static (text, bytes) =>
            {
                for (int i = 0; i < text.Length; i++)
                {
                    text[i] = "0123456789abcdef"[(bytes[i / 2] >> (i % 2 == 0 ? 4 : 0)) & 15];
                }
            });
    }
}
#endif
