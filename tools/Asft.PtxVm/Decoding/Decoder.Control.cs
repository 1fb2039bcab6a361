using Asft.PtxVm.Execution;

namespace Asft.PtxVm.Decoding;

/// <summary>Branches, exits and the block's barrier.</summary>
internal sealed partial class Decoder
{
    private Instruction? Control()
    {
        switch (_now.Opcode)
        {
            case "bra":
                Only("uni");
                return Flow(InstructionKind.Branch, target: _now.Target);
            case "brx":
                Only("idx", "uni");
                return Flow(InstructionKind.IndexedBranch, targets: _now.Targets, first: Read(0, 32));
            case "ret":
                Only("uni");
                return Flow(InstructionKind.Exit);
            case "bar" or "barrier":
                return Barrier();
            default:
                return null;
        }
    }

    private Instruction Flow(InstructionKind kind, int target = -1, int[]? targets = null, int first = 0) => new()
    {
        Text = _now.Text,
        Line = _now.Line,
        Class = InstructionClass.Control,
        Kind = kind,
        Target = target,
        Targets = targets ?? [],
        First = first,
        Guard = GuardPlace,
        GuardNegated = _now.Guard?.Negated ?? false,
    };

    private Instruction ClusterBarrier()
    {
        var arrives = _now.Has("arrive");
        Only("cluster", arrives ? "arrive" : "wait", arrives ? "release" : "acquire", "aligned");
        OperandCount(0);
        return new Instruction
        {
            Text = _now.Text,
            Line = _now.Line,
            Class = InstructionClass.Barrier,
            Kind = arrives ? InstructionKind.ClusterArrive : InstructionKind.ClusterWait,
            Guard = GuardPlace,
            GuardNegated = _now.Guard?.Negated ?? false,
        };
    }

    private Instruction? Barrier()
    {
        if (_now.Has("warp"))
        {
            return null;
        }

        if (_now.Has("cluster"))
        {
            return ClusterBarrier();
        }

        var first = 0;
        var reduction = "";
        var result = -1;
        var predicate = -1;
        var negated = false;
        if (_now.Has("red"))
        {
            Only("red", "popc", "and", "or", "u32", "pred", "cta", "aligned");
            reduction = _now.Has("popc") ? "popc" : _now.Has("and") ? "and" : "or";
            result = Write(reduction == "popc" ? 32 : 1);
            var operand = _now.Operands[^1];
            predicate = Read(operand, 1);
            negated = operand.Negated;
            first = 1;
        }
        else
        {
            Only("sync", "cta", "aligned");
            if (!_now.Has("sync"))
            {
                throw Unknown();
            }
        }

        var operands = _now.Operands.Length - first - (result >= 0 ? 1 : 0);
        return new Instruction
        {
            Text = _now.Text,
            Line = _now.Line,
            Class = InstructionClass.Barrier,
            Kind = result >= 0 ? InstructionKind.BarrierReduction : InstructionKind.Barrier,
            First = operands > 0 ? Read(first, 32) : Constant(32, 0),
            Fourth = operands > 1 ? Read(first + 1, 32) : -1,
            Second = predicate,
            Third = result,
            Negated = negated,
            Reduction = reduction,
            Guard = GuardPlace,
            GuardNegated = _now.Guard?.Negated ?? false,
        };
    }
}
