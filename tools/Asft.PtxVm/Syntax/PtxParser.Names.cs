using System.Globalization;
using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Syntax;

/// <summary>What names stand for, in scopes inside scopes; tokens.</summary>
internal sealed partial class PtxParser
{
    private Register? FindRegister(string name)
    {
        for (var scope = _scope; scope is not null; scope = scope.Parent)
        {
            if (scope.Registers.TryGetValue(name, out var register))
            {
                return register;
            }

            var digits = name.Length;
            while (digits > 0 && char.IsAsciiDigit(name[digits - 1]))
            {
                digits--;
            }

            if (digits < name.Length && scope.Ranges.TryGetValue(name[..digits], out var range)
                && int.Parse(name.AsSpan(digits), CultureInfo.InvariantCulture) < range.Count)
            {
                return scope.Registers[name] = NewRegister(name, range.Bits);
            }
        }

        return null;
    }

    private Variable? FindVariable(string name)
    {
        for (var scope = _scope; scope is not null; scope = scope.Parent)
        {
            if (scope.Variables.TryGetValue(name, out var variable))
            {
                return variable;
            }
        }

        if (!_globals.TryGetValue(name, out var global))
        {
            return null;
        }

        if (global.Space == StateSpace.Shared && !_kernel.Variables.Contains(global))
        {
            // each kernel lays out its own shared memory
            global = new Variable(global.Name, global.Space, global.Align, global.Bytes);
            RootScope().Variables[name] = global;
            _kernel.Variables.Add(global);
        }

        global.IsNamed = true;
        return global;
    }

    private Scope RootScope()
    {
        var scope = _scope;
        while (scope.Parent is { } parent)
        {
            scope = parent;
        }

        return scope;
    }

    private void ResolveBranches()
    {
        foreach (var (branch, scope, label) in _branches)
        {
            if (branch.Opcode == "brx")
            {
                branch.Targets = [.. FindTargets(scope, label).Select(name => FindLabel(scope, name, branch))];
            }
            else
            {
                branch.Target = FindLabel(scope, label, branch);
            }
        }
    }

    private int FindLabel(Scope? scope, string label, SyntaxInstruction branch)
    {
        for (; scope is not null; scope = scope.Parent)
        {
            if (scope.Labels.TryGetValue(label, out var index))
            {
                return index;
            }
        }

        throw new CudaException($"Kernel {_kernel.Name}, PTX line {branch.Line}: there is no label '{label}'.");
    }

    private List<string> FindTargets(Scope? scope, string label)
    {
        for (; scope is not null; scope = scope.Parent)
        {
            if (scope.Targets.TryGetValue(label, out var names))
            {
                return names;
            }
        }

        throw new CudaException($"Kernel {_kernel.Name}: there are no branch targets '{label}'.");
    }

    private Scope NewScope(Scope? parent) => new(parent, ++_scopes);

    private string Name()
    {
        var token = Current;
        if (token.Kind != TokenKind.Name)
        {
            throw Error($"'{token.Text}' where a name should stand");
        }

        _at++;
        return token.Text;
    }

    private long Integer()
    {
        var number = Number();
        return number.Kind == OperandKind.Integer ? number.Integer : throw Error("a real number where an integer should stand");
    }

    private bool Take(string text)
    {
        if (!Current.Is(text))
        {
            return false;
        }

        _at++;
        return true;
    }

    private Token Expect(string text)
    {
        var token = Current;
        return Take(text) ? token : throw Error($"'{token.Text}' where '{text}' should stand");
    }

    private CudaException Error(string what) =>
        new($"PTX line {Current.Line}{(_kernel.Name.Length > 0 ? $", kernel {_kernel.Name}" : "")}: {what}.");

    internal static long Align(long offset, int align) => (offset + align - 1) / align * align;

    private sealed record Function(List<string> Results, List<string> Parameters, int Body);

    private sealed class Scope(Scope? parent, int number)
    {
        public Scope? Parent { get; } = parent;

        public int Number { get; } = number;

        public Dictionary<string, Register> Registers { get; } = [];

        public Dictionary<string, (int Bits, long Count)> Ranges { get; } = [];

        public Dictionary<string, Variable> Variables { get; } = [];

        public Dictionary<string, int> Labels { get; } = [];

        public Dictionary<string, List<string>> Targets { get; } = [];
    }
}
