using Asft.Kernels;
using Asft.Kernels.Cpu;
using Asft.Kernels.Tests;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>A parallel loop in which a thread fails: the caller gets the exception, once nobody works any more.</summary>
[TestFixture("pool")]
[TestFixture("torch")]
public class ParallelRowLoopTests(string threads)
{
    private readonly ThreadTeam _team = threads == "torch" ? TorchTeam.Instance : new PoolTeam(() => 2);
    private int _threads;

    [SetUp]
    public void TakeTwoThreads()
    {
        _threads = get_num_threads();
        set_num_threads(2);
    }

    [TearDown]
    public void UseThreadsAgain() => set_num_threads(_threads);

    /// <summary>The caller fails while a helper is in the middle of a row.</summary>
    [Test]
    public void TheCallersExceptionWaitsForTheHelpers()
    {
        using var body = new Body(callerFails: true);
        Assert.That(() => ParallelRowLoop.Run(body, rows: 1000, batch: 1, _team, threads: 2), Throws.TypeOf<NotFiniteNumberException>().With.Message.EqualTo("caller"));
        Assert.That(body.HelperIsDone, "a helper still worked when the caller had returned");
    }

    [Test]
    public void AHelpersExceptionReachesTheCaller()
    {
        using var body = new Body(callerFails: false);
        Assert.That(() => ParallelRowLoop.Run(body, rows: 1000, batch: 1, _team, threads: 2), Throws.TypeOf<NotFiniteNumberException>().With.Message.EqualTo("helper"));
        Assert.That(body.RowsOfCaller, Is.LessThan(999), "the rows that were left are not worked on");
    }

    /// <summary>Scratch memory that the system refuses, to the caller or to a helper, and then grants again.</summary>
    [Test]
    public void RefusedScratchIsTheCallersException([Values] bool helper, [Values] bool inPlace)
    {
        int caller = Environment.CurrentManagedThreadId;
        using var begun = new ManualResetEventSlim();
        RowScratch Rent(nuint size)
        {
            bool isHelper = Environment.CurrentManagedThreadId != caller;
            if (isHelper)
            {
                begun.Set();
            }
            else
            {
                begun.Wait();
            }

            return isHelper == helper ? throw new InsufficientMemoryException("refused") : RowScratch.Rent(size);
        }

        using KernelRun run = new RandomCase(LossObjective.Asft(), 64, 3001, ElementType.Float32, ElementType.Float32, 5, inPlace, 42).Run();
        var kernel = new CpuTokenLossKernel(_team, 512, Rent);
        Assert.That(() => run.Forward(kernel, inPlace), Throws.InstanceOf<OutOfMemoryException>().With.Message.EqualTo("refused"));
        begun.Reset();
        Assert.That(() => run.Backward(kernel, [1], inPlace), Throws.InstanceOf<OutOfMemoryException>());

        // The process's own scratch is whole.
        KernelPromises.LossAndGradientAreExact(
            AllKernels.Named("cpu512"), new RandomCase(LossObjective.Asft(), 64, 3001, ElementType.Float32, ElementType.Float32, 5, inPlace, 42));
    }

    /// <summary>One thread fails at its first row, when the other has taken one.</summary>
    private sealed class Body(bool callerFails) : IRowLoopBody, IDisposable
    {
        private readonly int _caller = Environment.CurrentManagedThreadId;
        private readonly ManualResetEventSlim _helperHasARow = new();
        private readonly ManualResetEventSlim _callerHasARow = new();
        private readonly ManualResetEventSlim _failed = new();

        public bool HelperIsDone { get; private set; }

        public int RowsOfCaller { get; private set; }

        public void Run(ParallelRowLoop rows)
        {
            bool isCaller = Environment.CurrentManagedThreadId == _caller;
            Assert.That(rows.TryTake(out _, out _));
            (isCaller ? _callerHasARow : _helperHasARow).Set();
            (isCaller ? _helperHasARow : _callerHasARow).Wait();
            if (isCaller == callerFails)
            {
                _failed.Set();
                throw new NotFiniteNumberException(isCaller ? "caller" : "helper");
            }

            _failed.Wait();
            Thread.Sleep(50); // the exception is on its way meanwhile
            if (!isCaller)
            {
                HelperIsDone = true;
                return;
            }

            while (rows.TryTake(out _, out _))
            {
                RowsOfCaller++;
            }
        }

        public void Dispose()
        {
            _helperHasARow.Dispose();
            _callerHasARow.Dispose();
            _failed.Dispose();
        }
    }
}
