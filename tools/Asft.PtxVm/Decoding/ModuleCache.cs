using Asft.PtxVm.Execution;

namespace Asft.PtxVm.Decoding;

/// <summary>
/// The modules decoded last, for all machines of the process: tests make many machines and load the same PTX into each. Only modules
/// whose code names no variables of the module are kept, as those have no addresses in them.
/// </summary>
internal static class ModuleCache
{
    private const int Most = 8;

    private static readonly Lock Lock = new();
    private static readonly LinkedList<(string Ptx, Kernel[] Kernels)> Recent = new();

    public static Kernel[]? Find(string ptx)
    {
        lock (Lock)
        {
            for (var node = Recent.First; node is not null; node = node.Next)
            {
                if (node.Value.Ptx == ptx)
                {
                    Recent.Remove(node);
                    Recent.AddFirst(node);
                    return node.Value.Kernels;
                }
            }

            return null;
        }
    }

    public static void Add(string ptx, Kernel[] kernels)
    {
        lock (Lock)
        {
            Recent.AddFirst((ptx, kernels));
            if (Recent.Count > Most)
            {
                Recent.RemoveLast();
            }
        }
    }
}
