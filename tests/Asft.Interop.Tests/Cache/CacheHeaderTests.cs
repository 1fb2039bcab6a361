using System.Globalization;
using System.Text;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.Cache;

/// <summary>Headers of files that are wrong, or are not those of the index, with the right checksum.</summary>
public class CacheHeaderTests : CacheTest
{
    private const string TwoTokens = "\"0.indices\":{\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24]}";

    /// <summary>A whole file of something else, put in with the right checksum, still does not hold what the index says.</summary>
    [TestCase("{}", "holds 0 tensors")]
    [TestCase("[]", "header")]
    [TestCase("nonsense", "header")]
    [TestCase("null", "header")]
    [TestCase("{\"0.hidden\":{}}", "header")]
    [TestCase("{\"0.hidden\":3}", "header")]
    [TestCase("{\"0.hidden\":{\"dtype\":\"BF16\",\"shape\":[1,6],\"data_offsets\":[0,12]},\"0.hidden\":{}}", "header", TestName = "the same name twice")]
    [TestCase("{\"0.hidden\":{\"dtype\":\"\\ud800\",\"shape\":[1,6],\"data_offsets\":[0,12]}}", "header", TestName = "half a surrogate as dtype")]
    [TestCase("{\"\\ud800\":{\"dtype\":\"BF16\",\"shape\":[1,6],\"data_offsets\":[0,12]}}", "header", TestName = "half a surrogate as name")]
    public void AForeignFileIsRefused(string header, string says)
    {
        Make(References()).Dispose();
        Replace(SafeTensors(header));
        AssertFileRefused(says);
    }

    /// <summary>Sizes that do not fit the file, or no number.</summary>
    [TestCase("F32", "[1,6]", "[0,24]", "example 0")]
    [TestCase("I32", "[1,6]", "[0,24]", "example 0")]
    [TestCase("I64", "[1,6]", "[0,48]", "dtype is I64")]
    [TestCase("BF16", "[6]", "[0,12]", "example 0")]
    [TestCase("BF16", "[1,1,6]", "[0,12]", "example 0")]
    [TestCase("BF16", "[2,3]", "[0,12]", "example 0")]
    [TestCase("BF16", "[2,6]", "[0,12]", "[2, 6]")]
    [TestCase("BF16", "[-1,6]", "[12,0]", "[-1, 6]")]
    [TestCase("BF16", "[-1,-6]", "[0,12]", "[-1, -6]")]
    [TestCase("BF16", "[1,6]", "[-12,0]", "[-12, 0]")]
    [TestCase("BF16", "[1,6]", "[989,1001]", "[989, 1001]")]
    [TestCase("BF16", "[1,6]", "[9223372036854775795,9223372036854775807]", "of 1000")]
    [TestCase("BF16", "[1,6]", "[-9223372036854775808,9223372036854775807]", "of 1000")]
    [TestCase("BF16", "[1,6]", "[0]", "of 1000")]
    [TestCase("BF16", "[1,6]", "[0,12,24]", "of 1000")]
    [TestCase("BF16", "[4611686018427387904,6]", "[0,0]", "header")] // 2^62 * 6 * 2 bytes are 0 modulo 2^64
    [TestCase("BF16", "[1e40,6]", "[0,12]", "header")]
    [TestCase("BF16", "[1.5,6]", "[0,18]", "header")]
    [TestCase("BF16", "[\"1\",6]", "[0,12]", "header")]
    [TestCase("BF16", "3", "[0,12]", "header")]
    public void ImpossibleSizesAreRefused(string dtype, string shape, string offsets, string says)
    {
        Make([randn(1, Width)]).Dispose();
        Replace(SafeTensors($"{{\"0.hidden\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}"));
        AssertFileRefused(says);
    }

    [Test]
    public void AnImpossibleHeaderIsRefused([Values(long.MinValue, -1L, 0L, 1000L, 1L << 32, long.MaxValue)] long length)
    {
        Make(References()).Dispose();
        Replace([.. BitConverter.GetBytes(length), .. new byte[100]]);
        AssertFileRefused(length.ToString(CultureInfo.InvariantCulture) + " bytes");
    }

    [Test]
    public void AFileTooShortForAHeaderIsRefused([Values(1, 7, 8, 9)] int bytes)
    {
        Make(References()).Dispose();
        Replace([.. SafeTensors("{}")[..bytes]]);
        AssertFileRefused("");
    }

    /// <summary>Of an example's tensors, one is missing, or is of other tokens, entries or numbers than it must be.</summary>
    [TestCase("\"0.indices\":{\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24]}", "holds 1 tensors, 2 each of 1 examples")]
    [TestCase(TwoTokens + ",\"1.logProbabilities\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[24,36]}", "example 0")]
    [TestCase(TwoTokens + ",\"0.logProbabilities\":{\"dtype\":\"BF16\",\"shape\":[3,3],\"data_offsets\":[24,42]}", "example 0")]
    [TestCase(TwoTokens + ",\"0.logProbabilities\":{\"dtype\":\"BF16\",\"shape\":[2,4],\"data_offsets\":[24,40]}", "example 0")]
    [TestCase(TwoTokens + ",\"0.logProbabilities\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[24,28]}", "example 0")]
    [TestCase(TwoTokens + ",\"0.logProbabilities\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24,48]}", "example 0")]
    [TestCase(TwoTokens + ",\"0.logProbabilities\":{\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[24,48]}", "example 0")]
    public void TensorsThatDoNotBelongTogetherAreRefused(string entries, string says)
    {
        var form = ReferenceCacheForm.TopK(3);
        ReferenceCache.OpenOrCreate(
            Folder, Identity, 1, form, _ => TokenReference.TopK(arange(3).expand(2, 3), full([2, 3], -2.0))).Dispose();
        Replace(SafeTensors("{" + TwoTokens + ",\"0.logProbabilities\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[24,36]}}"));
        using (ReferenceCache cache = ReferenceCache.Open(Folder, Identity))
        {
            Assert.That(Values(cache.Read(0).Tensors[1]), Is.All.Zero, "as they must be");
        }

        Replace(SafeTensors("{" + entries + "}"));
        AssertFileRefused(says);
    }

    /// <summary>A file with a header and 1,000 bytes of tensors.</summary>
    private static byte[] SafeTensors(string header) =>
        [.. BitConverter.GetBytes((long)header.Length), .. Encoding.UTF8.GetBytes(header), .. new byte[1000]];
}
