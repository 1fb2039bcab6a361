using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>The operations of torch that an action runs, as torch's own profiler sees them.</summary>
internal static unsafe class TorchOperations
{
    /// <summary>Those that start no kernel on a device: they make room or another view, or others do their work.</summary>
    private static readonly HashSet<string> s_free =
    [
        "empty", "empty_strided", "empty_like", "alias", "detach", "detach_", "narrow", "slice", "select", "view", "as_strided", "reshape", "_reshape_alias",
        "t", "transpose", "expand", "resize_", "set_", "to", "_to_copy", "contiguous", "zeros", "full", "new_empty", "new_empty_strided", "ones_like",
        "unsqueeze", "is_neg", "requires_grad_", "_unsafe_view",
    ];

    // A class of libtorch that writes a trace when it is destroyed; its name as the compilers of Linux write it.
    private static readonly delegate* unmanaged<void*, StandardString*, void> s_begin = (delegate* unmanaged<void*, StandardString*, void>)LibTorch.Find(
        "_ZN5torch8autograd8profiler13RecordProfileC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", string.Empty);

    private static readonly delegate* unmanaged<void*, void> s_end =
        (delegate* unmanaged<void*, void>)LibTorch.Find("_ZN5torch8autograd8profiler13RecordProfileD1Ev", string.Empty);

    /// <summary>Whether this libtorch can tell.</summary>
    public static bool AreTold => s_begin != null && s_end != null;

    /// <summary>The operations that start kernels on a device, by name, in the order in which they ran.</summary>
    public static string[] Launching(Action action)
    {
        string trace = Path.GetTempFileName();
        try
        {
            Record(action, trace);
            using var events = JsonDocument.Parse(File.ReadAllText(trace));
            return
            [
                .. from happened in events.RootElement.EnumerateArray()
                   let name = happened.GetProperty("name").GetString()!
                   where name.StartsWith("aten::", StringComparison.Ordinal) && !s_free.Contains(name[6..])
                   select name[6..],
            ];
        }
        finally
        {
            File.Delete(trace);
        }
    }

    private static void Record(Action action, string path)
    {
        byte[] text = Encoding.UTF8.GetBytes(path + '\0');
        void* profile = NativeMemory.AllocZeroed(256);
        fixed (byte* characters = text)
        {
            var name = new StandardString { Characters = characters, Length = text.Length - 1, Capacity = text.Length - 1 };
            s_begin(profile, &name);
        }

        try
        {
            action();
        }
        finally
        {
            s_end(profile);
            NativeMemory.Free(profile);
        }
    }

    /// <summary>A <c>std::string</c> of libstdc++ whose characters lie elsewhere.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct StandardString
    {
        public byte* Characters;
        public long Length;
        public long Capacity;
        public long Unused;
    }
}
