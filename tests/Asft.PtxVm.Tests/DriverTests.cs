using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Tests;

/// <summary>The machine as a driver: devices, memory, launches that are refused, threads.</summary>
public unsafe class DriverTests
{
    private const string Increment = """
        .maxntid 128, 1, 1
        {
            .reg .b32 %r<4>;
            .reg .b64 %rd<4>;
            ld.param.u64 %rd1, [k_param_0];
            mov.u32 %r1, %tid.x;
            mul.wide.u32 %rd2, %r1, 4;
            add.s64 %rd1, %rd1, %rd2;
            ld.global.u32 %r2, [%rd1];
            add.u32 %r2, %r2, 1;
            st.global.u32 [%rd1], %r2;
            ret;
        }
        """;

    private static readonly string Module = $".version 7.8\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 k_param_0)\n{Increment}";

    [Test]
    public void DefaultDevice()
    {
        using var machine = new PtxMachine();
        Assert.That(machine.Name, Is.EqualTo("PTX virtual machine"));
        Assert.That(machine.Devices, Has.Count.EqualTo(1));
        Assert.That(machine.Devices[0] with { MemoryBytes = 0 }, Is.EqualTo(new CudaDevice(0, "PTX virtual machine", 8, 0, 108, 0, 163 << 10)));
    }

    [Test]
    public void WhatIsRefused()
    {
        using var machine = new PtxMachine();
        var module = machine.LoadModule(0, Module);
        var function = machine.GetFunction(0, module, "k");
        var memory = (ulong)machine.Allocate(0, 512);
        machine.Fill(0, (void*)memory, 0, 512, 0);
        void Launch(CudaLaunch launch, int bytes = 8) => DriverTests.Launch(machine, launch, memory, bytes);
        var good = new CudaLaunch(function, 1, 1, 128, 0);
        Assert.That(() => Launch(good), Throws.Nothing);
        Refused(() => Launch(good with { BlockX = 129 }), "129");
        Refused(() => Launch(good with { BlockX = 0 }), "0 threads");
        Refused(() => Launch(good with { GridX = 0 }), "0 x 1");
        Refused(() => Launch(good with { GridY = 65536 }), "65536");
        Refused(() => Launch(good, 4), "4 bytes");
        using var program = new Program(Program.Kernel(".shared .align 4 .b8 tile[200000]; ret;", 8));
        Refused(() => program.Launch("k", 1, 1, memory), "200000");
        Refused(() => Launch(good with { Function = 99 }), "99");
        Refused(() => machine.GetFunction(0, module, "other"), "other");
        Refused(() => machine.GetFunction(0, 7, "k"), "7");
        Refused(() => machine.LoadModule(1, Module), "device 1");
        Refused(() => machine.Allocate(0, 0), "0 bytes");
        Refused(() => machine.Free(0, (void*)16), "10");
        Refused(() => machine.Fill(0, (void*)memory, 0, 513, 0), "513");
        Refused(() => machine.FreeHost(0, (void*)memory), "page-locked");

        static void Refused(Action action, string named) => Assert.That(() => action(), Throws.TypeOf<CudaException>().With.Message.Contains(named));
    }

    [Test]
    public void CopyToHost()
    {
        using var machine = new PtxMachine();
        var device = (int*)machine.Allocate(0, 64);
        var host = (int*)machine.AllocateHost(0, 64);
        Assert.That((long)device % 256, Is.Zero);
        Assert.That(new Span<int>(host, 16).ToArray(), Is.All.Zero);
        Assert.That(() => machine.CopyToHost(0, host, device, 64, 0), Throws.TypeOf<CudaException>().With.Message.Contains("nothing has written"));
        machine.Fill(0, device, 1, 64, 0);
        machine.CopyToHost(0, host, device, 64, 0);
        Assert.That(new Span<int>(host, 16).ToArray(), Is.All.EqualTo(0x01010101));
        Assert.That(() => machine.CopyToHost(0, device, device, 64, 0), Throws.TypeOf<CudaException>().With.Message.Contains("page-locked"));
        Assert.That(machine.Memory.AllocatedBytes, Is.EqualTo(64));
        machine.Synchronize(0, 0);
        machine.FreeHost(0, host);
        machine.Free(0, device);
        Assert.That(machine.Memory.AllocatedBytes, Is.Zero);
    }

    /// <summary>Each at the next multiple of its size, as one struct would have them.</summary>
    [Test]
    public void SeveralParameters()
    {
        using var program = new Program("""
            .version 7.8
            .target sm_80
            .address_size 64
            .visible .entry k(.param .u32 value, .param .u64 target, .param .align 8 .b8 pair[16])
            {
                .reg .b32 %r<4>;
                .reg .b64 %rd<4>;
                ld.param.u32 %r1, [value];
                ld.param.u64 %rd1, [target];
                ld.param.u64 %rd2, [pair+8];
                cvt.u32.u64 %r2, %rd2;
                add.u32 %r1, %r1, %r2;
                st.global.u32 [%rd1], %r1;
                ret;
            }
            """);
        var result = new int[1];
        program.Launch("k", 1, 1, (30UL, program.Use(result), 0UL, 12UL));
        Assert.That(result[0], Is.EqualTo(42));
    }

    /// <summary>Of a struct with padding, the padding is not written, and no more so in a copy.</summary>
    [Test]
    public void CopiesAreWrittenWhereTheirSourceIs()
    {
        using var machine = new PtxMachine();
        var from = (byte*)machine.Allocate(0, 64);
        var to = (byte*)machine.Allocate(0, 64);
        machine.Fill(0, from, 5, 8, 0);
        machine.Memory.Copy(to, from, 16);
        Assert.That(machine.Memory.IsInitialized(to, 8), Is.True);
        Assert.That(machine.Memory.IsInitialized(to + 8, 1), Is.False);
        Assert.That(to[7], Is.EqualTo(5));
        Assert.That(() => machine.Memory.Copy(to + 60, from, 8), Throws.TypeOf<CudaException>().With.Message.Contains("not inside one allocation"));
    }

    [Test]
    public void KernelsMayUsePageLockedMemoryUntilItIsFreed()
    {
        using var machine = new PtxMachine();
        var function = machine.GetFunction(0, machine.LoadModule(0, Module), "k");
        var memory = machine.AllocateHost(0, 512);
        Launch(machine, new CudaLaunch(function, 1, 1, 128, 0), (ulong)memory);
        Assert.That(new Span<int>(memory, 128).ToArray(), Is.All.EqualTo(1));
        Assert.That(() => machine.Free(0, memory), Throws.TypeOf<CudaException>());
        machine.FreeHost(0, memory);
        Assert.That(Assert.Throws<PtxFaultException>(() => Launch(machine, new CudaLaunch(function, 1, 1, 128, 0), (ulong)memory))!.Kind, Is.EqualTo(PtxFaultKind.OutOfBounds));
    }

    [Test]
    public void FreedMemoryIsOutOfBounds()
    {
        using var machine = new PtxMachine();
        var function = machine.GetFunction(0, machine.LoadModule(0, Module), "k");
        var memory = (ulong)machine.Allocate(0, 512);
        machine.Fill(0, (void*)memory, 0, 512, 0);
        machine.Free(0, (void*)memory);
        Assert.That(Assert.Throws<PtxFaultException>(() => Launch(machine, new CudaLaunch(function, 1, 1, 128, 0), memory))!.Kind, Is.EqualTo(PtxFaultKind.OutOfBounds));
    }

    [Test]
    public void RegisteredMemory()
    {
        using var machine = new PtxMachine();
        var function = machine.GetFunction(0, machine.LoadModule(0, Module), "k");
        var array = new int[128];
        fixed (int* pinned = array)
        {
            var address = (ulong)pinned;
            void Launch() => DriverTests.Launch(machine, new CudaLaunch(function, 1, 1, 128, 0), address);
            PtxFaultKind Kind() => Assert.Throws<PtxFaultException>(Launch)!.Kind;
            Assert.That(Kind(), Is.EqualTo(PtxFaultKind.OutOfBounds), "nothing is registered");
            machine.Memory.Register((void*)address, 512, "array");
            Launch();
            machine.Memory.Register((void*)address, 512, "array again");
            machine.Memory.Unregister((void*)address);
            Launch();
            machine.Memory.Unregister((void*)address);
            Assert.That(Kind(), Is.EqualTo(PtxFaultKind.OutOfBounds), "nothing is registered any more");
            Assert.That(() => machine.Memory.Unregister((void*)address), Throws.ArgumentException);

            // stretches that overlap are one; stretches that only touch are two
            machine.Memory.Register((void*)address, 300, "front");
            machine.Memory.Register((void*)(address + 200), 312, "back");
            Launch();
            machine.Memory.Unregister((void*)(address + 200));
            Assert.That(Kind(), Is.EqualTo(PtxFaultKind.OutOfBounds));
            machine.Memory.Unregister((void*)address);
            machine.Memory.Register((void*)address, 512, "array", initialized: false);
            Assert.That(Kind(), Is.EqualTo(PtxFaultKind.UninitializedMemory));
            Assert.That(array, Is.All.EqualTo(3));
        }
    }

    [Test]
    public void WhatIsInitialized()
    {
        using var machine = new PtxMachine();
        var memory = (byte*)machine.Allocate(0, 512);
        Assert.That(machine.Memory.IsInitialized(memory, 1), Is.False);
        machine.Fill(0, memory + 3, 0, 400, 0);
        Assert.That(machine.Memory.IsInitialized(memory + 3, 400), Is.True);
        Assert.That(machine.Memory.IsInitialized(memory + 2, 400), Is.False);
        Assert.That(machine.Memory.IsInitialized(memory + 3, 401), Is.False);
        Assert.That(() => machine.Memory.IsInitialized(memory, 513), Throws.ArgumentException);
    }

    [Test]
    public void TheSeedOrdersTheBlocks()
    {
        // each block notes its turn
        int[] Order(int seed)
        {
            using var program = new Program(
                Program.Kernel("ld.param.u64 %rd1, [p]; mov.u32 %r1, %ctaid.x; atom.global.add.u32 %r2, [%rd1], 1; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd2, %rd1, %rd2; st.global.u32 [%rd2+4], %r2; ret;", 8),
                new PtxMachineOptions { Seed = seed });
            var turns = new int[21];
            program.Launch("k", 20, 1, program.Use(turns));
            return turns[1..];
        }

        Assert.That(Order(1).Order(), Is.EqualTo(Enumerable.Range(0, 20)));
        Assert.That(Order(1), Is.EqualTo(Order(1)));
        Assert.That(Order(2), Is.Not.EqualTo(Order(1)));
        Assert.That(Order(1), Is.Not.Ordered);
    }

    [Test]
    public void ThreadsTakeTurns()
    {
        const int Launches = 50;
        using var machine = new PtxMachine();
        var function = machine.GetFunction(0, machine.LoadModule(0, Module), "k");
        var shared = (ulong)machine.Allocate(0, 512);
        machine.Fill(0, (void*)shared, 0, 512, 0);
        Parallel.For(0, 4, _ =>
        {
            for (var i = 0; i < Launches; i++)
            {
                Launch(machine, new CudaLaunch(function, 1, 1, 128, 0), shared);
                var own = machine.Allocate(0, 64);
                machine.Free(0, own);
            }
        });
        Assert.That(new Span<int>((void*)shared, 128).ToArray(), Is.All.EqualTo(4 * Launches));
        Assert.That(machine.Launches, Has.Count.EqualTo(4 * Launches));
    }

    private static void Launch(PtxMachine machine, CudaLaunch launch, ulong parameter, int bytes = 8) => machine.Launch(0, launch, &parameter, bytes);
}
