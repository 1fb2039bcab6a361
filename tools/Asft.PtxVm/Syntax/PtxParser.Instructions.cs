using System.Globalization;
using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Syntax;

/// <summary>Instructions, their operands, calls.</summary>
internal sealed partial class PtxParser
{
    private void ReadInstruction()
    {
        var first = Current;
        Operand? guard = null;
        if (Take("@"))
        {
            var negated = Take("!");
            var register = FindRegister(Name()) ?? throw Error("a guard that is no register");
            guard = new Operand(OperandKind.Register) { Register = register, Negated = negated };
        }

        var opcode = Name();
        var modifiers = new List<string>();
        while (Current.Kind == TokenKind.Dotted && _tokens[_at - 1].End == Current.Start)
        {
            modifiers.Add(Current.Text[1..]);
            _at++;
        }

        if (opcode == "call")
        {
            PlaceCall(guard);
            return;
        }

        var operands = new List<Operand>();
        while (!Current.Is(";"))
        {
            operands.Add(ReadOperand());
            if (!Take(","))
            {
                break;
            }
        }

        var text = string.Join(
            ' ', _ptx[first.Start..Current.Start].Split((char[])[' ', '\t', '\r', '\n'], StringSplitOptions.RemoveEmptyEntries));
        Expect(";");
        if (opcode == "ret" && _return is { } label)
        {
            var jump = new SyntaxInstruction(
                "bra", [], [new Operand(OperandKind.Label) { Name = label }], first.Line, text)
            { Guard = guard };
            _branches.Add((jump, _scope, label));
            _kernel.Instructions.Add(jump);
            return;
        }

        var instruction = new SyntaxInstruction(opcode, [.. modifiers], [.. operands], first.Line, text) { Guard = guard };
        if (opcode is "bra" or "brx")
        {
            _branches.Add((instruction, _scope, operands[^1].Name));
        }

        _kernel.Instructions.Add(instruction);
    }

    // call.uni (result), function, (arguments): the arguments are variables, of which the function's parameters become other names
    private void PlaceCall(Operand? guard)
    {
        var line = Current.Line;
        var results = Current.Is("(") ? Arguments() : [];
        Take(",");
        var name = Name();
        Take(",");
        var arguments = Current.Is("(") ? Arguments() : [];
        if (Take(","))
        {
            Name(); // a prototype
        }

        Expect(";");
        if (guard is not null || !_functions.TryGetValue(name, out var function))
        {
            var why = guard is null ? "has no body here" : "stands under a guard";
            throw new CudaException($"Kernel {_kernel.Name}, PTX line {line}: the call of {name} {why}, which this machine does not know.");
        }

        if (++_calls > DeepestCall)
        {
            throw new CudaException($"Kernel {_kernel.Name}, PTX line {line}: calls of {name} nest deeper than {DeepestCall}.");
        }

        var (outer, outerReturn, back) = (_scope, _return, _at);
        _scope = NewScope(null);
        for (var i = 0; i < results.Count; i++)
        {
            _scope.Variables[function.Results[i]] = results[i];
        }

        for (var i = 0; i < arguments.Count; i++)
        {
            _scope.Variables[function.Parameters[i]] = arguments[i];
        }

        _return = $"return{_scopes}";
        var inner = _scope;
        _at = function.Body;
        ReadBody();
        inner.Labels[_return] = _kernel.Instructions.Count;
        (_scope, _return, _at) = (outer, outerReturn, back);
        _calls--;

        List<Variable> Arguments()
        {
            Expect("(");
            var list = new List<Variable>();
            while (!Take(")"))
            {
                var argument = Name();
                list.Add(FindVariable(argument) ?? throw Error($"'{argument}' is no variable"));
                Take(",");
            }

            return list;
        }
    }

    private Operand ReadOperand()
    {
        if (Take("{"))
        {
            var elements = new List<Operand>();
            while (!Take("}"))
            {
                elements.Add(ReadOperand());
                Take(",");
            }

            return new Operand(OperandKind.Vector) { Parts = [.. elements] };
        }

        if (Take("["))
        {
            var start = ReadSingle();
            var offset = start.Kind is OperandKind.Integer ? start.Integer : 0L;
            while (!Take("]"))
            {
                var sign = Take("-") ? -1 : 1;
                Take("+");
                offset += sign * Integer();
            }

            Operand[] parts = start.Kind == OperandKind.Integer ? [] : [start];
            return new Operand(OperandKind.Address) { Parts = parts, Integer = offset };
        }

        var operand = ReadSingle();
        if (Take("|"))
        {
            return new Operand(OperandKind.Pair) { Parts = [operand, ReadSingle()] };
        }

        if (operand.Kind == OperandKind.Variable && (Current.Is("+") || Current.Is("-")))
        {
            var sign = Take("-") ? -1 : 1;
            Take("+");
            return new Operand(OperandKind.Variable)
            {
                Name = operand.Name,
                Variable = operand.Variable,
                Integer = sign * Integer(),
            };
        }

        return operand;
    }

    private Operand ReadSingle()
    {
        var negated = Take("!");
        if (Current.Kind == TokenKind.Number || Current.Is("-"))
        {
            return Number();
        }

        var name = Name();
        if (name == "_")
        {
            return new Operand(OperandKind.Sink);
        }

        if (FindRegister(name) is { } register)
        {
            return new Operand(OperandKind.Register) { Name = name, Register = register, Negated = negated };
        }

        if (name[0] == '%')
        {
            if (Current.Kind == TokenKind.Dotted && _tokens[_at - 1].End == Current.Start)
            {
                name += Current.Text;
                _at++;
            }

            return new Operand(OperandKind.Special) { Name = name };
        }

        if (name == "WARP_SZ")
        {
            return new Operand(OperandKind.Integer) { Integer = 32 };
        }

        return FindVariable(name) is { } variable
            ? new Operand(OperandKind.Variable) { Name = name, Variable = variable }
            : new Operand(OperandKind.Label) { Name = name };
    }

    private Operand Number()
    {
        var negative = Take("-");
        var token = Current;
        if (token.Kind != TokenKind.Number)
        {
            throw Error($"'{token.Text}' where a number should stand");
        }

        _at++;
        var text = token.Text;
        if (text.StartsWith("0f", StringComparison.OrdinalIgnoreCase) && text.Length == 10)
        {
            var value = BitConverter.UInt32BitsToSingle(
                uint.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
            return Real(value, BitConverter.SingleToUInt32Bits(value));
        }

        if (text.StartsWith("0d", StringComparison.OrdinalIgnoreCase) && text.Length == 18)
        {
            var bits = ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            return Real(BitConverter.UInt64BitsToDouble(bits), (long)bits);
        }

        var hexadecimal = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        if (!hexadecimal && (text.Contains('.') || text.Contains('e', StringComparison.OrdinalIgnoreCase)))
        {
            var value = double.Parse(text, CultureInfo.InvariantCulture);
            return Real(value, 0);
        }

        var digits = text.TrimEnd('U', 'u');
        var number = hexadecimal ? ulong.Parse(digits.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture)
            : digits.StartsWith("0b", StringComparison.OrdinalIgnoreCase) ? Convert.ToUInt64(digits[2..], 2)
            : digits.Length > 1 && digits[0] == '0' ? Convert.ToUInt64(digits, 8)
            : ulong.Parse(digits, CultureInfo.InvariantCulture);
        return new Operand(OperandKind.Integer)
        {
            Integer = negative ? -(long)number : (long)number,
            Real = negative ? -(double)number : number,
        };

        // Integer keeps the bits as written, so that a NaN's payload survives an untyped move
        Operand Real(double value, long bits) =>
            new(OperandKind.Real) { Real = negative ? -value : value, Integer = bits, Name = text, Negated = negative };
    }
}
