using System.Reflection;
using System.Runtime.CompilerServices;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>LibTorchSharp's functions are called by address: what they take must be what TorchSharp itself gives them.</summary>
public class NodeFunctionsTests
{
    /// <summary>Our declarations, argument by argument, the result last: P an address or handle, N a node, A an array with its length, B a byte.</summary>
    private static readonly Dictionary<string, string> s_functions = new()
    {
        ["THSAutograd_CSharpNode_ctor"] = "PPN",
        ["THSAutograd_CSharpNode_disposeSharedPtr"] = "N-",
        ["THSAutograd_CSharpNode_disposeWeakPtr"] = "N-",
        ["THSAutograd_CSharpNode_setNextEdges"] = "NAB-",
        ["THSAutograd_Function_wrapOutputs"] = "AAAANP-",
        ["THSAutograd_SavedVariable_ctor"] = "PNBP",
        ["THSAutograd_SavedVariable_unpack"] = "PNP",
        ["THSAutograd_SavedVariable_dispose"] = "P-",
        ["THSTensor_dispose"] = "P-",
        ["THSTensor_data"] = "PP",
    };

    private static IEnumerable<string> Functions => s_functions.Keys;

    [Test]
    public void AreAsTorchSharpDeclaresThem([ValueSource(nameof(Functions))] string name)
    {
        MethodInfo? method = typeof(Tensor).Assembly.GetType("TorchSharp.PInvoke.NativeMethods")!
            .GetMethod(name, BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.Static);
        Assert.That(method, Is.Not.Null);
        string declared = string.Concat(method!.GetParameters().Select(parameter => Letter(parameter.ParameterType))) + Letter(method.ReturnType);
        Assert.That(declared, Is.EqualTo(s_functions[name]));
    }

    [Test]
    public void StructuresAreAsTorchSharpDeclaresThem()
    {
        Type methods = typeof(Tensor).Assembly.GetType("TorchSharp.PInvoke.NativeMethods")!;
        Assert.Multiple(() =>
        {
            Assert.That(Fields("NodeUnmanagedPtr"), Is.EqualTo(new[] { typeof(nint), typeof(nint) }));
            Assert.That(Fields("ArrayWithSize"), Is.EqualTo(new[] { typeof(nint), typeof(long) }));
            Assert.That(Unsafe.SizeOf<NodeHandle>(), Is.EqualTo(2 * nint.Size));
            Assert.That(Unsafe.SizeOf<HandleArray>(), Is.EqualTo(nint.Size + sizeof(long)));
        });

        Type[] Fields(string name) =>
            [.. methods.GetNestedType(name, BindingFlags.NonPublic)!.GetFields(BindingFlags.Public | BindingFlags.Instance).Select(field => field.FieldType)];
    }

    /// <summary>A libtorch that could not tell whether a graph is retained would make every second backward pass a silent one.</summary>
    [Test]
    public void TorchTellsWhetherTheGraphIsRetained()
    {
        Assert.That(TorchFacts.RetainsGraph(), Is.True, "there is no backward pass here");
        using Tensor logits = randn(2, 3).requires_grad_();
        using Tensor labels = zeros([2], ScalarType.Int64);
        using Tensor loss = AsftFunctional.asft_loss(logits, labels, objective: Asft.Kernels.LossObjective.Sft);
        Assert.That(() => loss.backward(retain_graph: true), Throws.Nothing);
        Assert.That(() => loss.backward(), Throws.Nothing);
    }

    private static string Letter(Type type) => type == typeof(void) ? "-"
        : type == typeof(bool) ? "B"
        : type == typeof(nint) || typeof(Delegate).IsAssignableFrom(type) ? "P"
        : type.Name switch { "NodeUnmanagedPtr" => "N", "ArrayWithSize" => "A", _ => type.Name };
}
