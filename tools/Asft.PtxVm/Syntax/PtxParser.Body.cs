using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Syntax;

/// <summary>Bodies of kernels and functions: scopes, labels, registers, variables.</summary>
internal sealed partial class PtxParser
{
    // Statements up to the closing brace.
    private void ReadBody()
    {
        while (!Take("}"))
        {
            var token = Current;
            if (token.Kind == TokenKind.End)
            {
                throw Error($"kernel {_kernel.Name} does not end");
            }

            if (Take("{"))
            {
                var outer = _scope;
                _scope = NewScope(outer);
                ReadBody();
                _scope = outer;
            }
            else if (token.Kind == TokenKind.Name && _tokens[_at + 1].Is(":"))
            {
                _at += 2;
                _scope.Labels[token.Text] = _kernel.Instructions.Count;
                if (Current.Is(".branchtargets"))
                {
                    _at++;
                    _scope.Targets[token.Text] = Names();
                    Expect(";");
                }
            }
            else if (token.Kind == TokenKind.Dotted)
            {
                ReadDirective();
            }
            else if (!Take(";"))
            {
                ReadInstruction();
            }
        }
    }

    private List<string> Names()
    {
        var names = new List<string> { Name() };
        while (Take(","))
        {
            names.Add(Name());
        }

        return names;
    }

    private void ReadDirective()
    {
        switch (Current.Text)
        {
            case ".reg":
                ReadRegisters();
                break;
            case ".shared" or ".local" or ".param" or ".global" or ".const":
                ReadVariables(_scope.Variables);
                break;
            case ".pragma":
                while (!Take(";"))
                {
                    _at++;
                }

                break;
            case ".loc" or ".file":
                SkipDebugging();
                break;
            default:
                throw Error($"'{Current.Text}' is not known here");
        }
    }

    private void ReadRegisters()
    {
        Expect(".reg");
        var type = Current;
        _at++;
        var bits = type.Text == ".pred" ? 1 : Math.Max(16, TypeBits(type));
        do
        {
            var name = Name();
            if (Take("<"))
            {
                _scope.Ranges[name] = (bits, Integer());
                Expect(">");
            }
            else
            {
                _scope.Registers[name] = NewRegister(name, bits);
            }
        }
        while (Take(","));
        Expect(";");
    }

    private Register NewRegister(string name, int bits)
    {
        var register = new Register(name, bits, _kernel.Registers.Count);
        _kernel.Registers.Add(register);
        return register;
    }

    private static int TypeBits(Token type) => type.Text switch
    {
        ".b8" or ".u8" or ".s8" => 8,
        ".b16" or ".u16" or ".s16" or ".f16" or ".bf16" => 16,
        ".b32" or ".u32" or ".s32" or ".f32" or ".f16x2" or ".bf16x2" => 32,
        ".b64" or ".u64" or ".s64" or ".f64" => 64,
        _ => throw new CudaException($"PTX line {type.Line}: '{type.Text}' is not a type that this machine knows."),
    };

    private void ReadVariables(Dictionary<string, Variable> into)
    {
        var token = Current;
        _at++;
        var space = token.Text switch
        {
            ".shared" => StateSpace.Shared,
            ".const" => StateSpace.Constant,
            ".global" => StateSpace.Global,
            _ => StateSpace.Local,
        };
        do
        {
            var variable = ReadVariable(space, token);
            into[variable.Name] = variable;
            if (space is StateSpace.Local or StateSpace.Shared && into != _globals)
            {
                _kernel.Variables.Add(variable);
            }
            else if (into != _globals)
            {
                _module.Variables.Add(variable);
            }
        }
        while (Take(","));
        Expect(";");
    }

    // .align 4 .b8 name[32] = { ... }, with the space already taken
    private Variable ReadVariable(StateSpace space, Token at)
    {
        var align = 0;
        var type = default(Token);
        var vector = 1;
        while (Current.Kind == TokenKind.Dotted)
        {
            var word = Current;
            _at++;
            switch (word.Text)
            {
                case ".align":
                    align = (int)Integer();
                    break;
                case ".ptr" or ".global" or ".shared" or ".const" or ".local":
                    break; // what a pointer parameter points to
                case ".v2":
                    vector = 2;
                    break;
                case ".v4":
                    vector = 4;
                    break;
                default:
                    type = word;
                    break;
            }
        }

        if (type.Text is null)
        {
            throw Error($"a variable without a type after '{at.Text}'");
        }

        var element = TypeBits(type) / 8 * vector;
        var name = Name();
        long count = 1;
        while (Take("["))
        {
            if (Take("]"))
            {
                count = 0;
            }
            else
            {
                count *= Integer();
                Expect("]");
            }
        }

        var variable = new Variable(name, space, align == 0 ? element : align, element * count);
        if (Take("="))
        {
            variable = ReadInitial(variable, type, element);
        }

        return variable;
    }

    private Variable ReadInitial(Variable variable, Token type, int element)
    {
        var bytes = new List<byte>();
        var symbols = new List<(int, string, long)>();
        Value();
        var size = Math.Max(variable.Bytes, bytes.Count);
        while (bytes.Count < size)
        {
            bytes.Add(0);
        }

        var result = new Variable(variable.Name, variable.Space, variable.Align, size) { Initial = [.. bytes] };
        result.Symbols.AddRange(symbols);
        return result;

        void Value()
        {
            if (Take("{"))
            {
                while (!Take("}"))
                {
                    Value();
                    Take(",");
                }

                return;
            }

            if (Current.Kind == TokenKind.Name)
            {
                var name = Name();
                if (name == "generic" && Take("("))
                {
                    name = Name();
                    Expect(")");
                }

                symbols.Add((bytes.Count, name, Take("+") ? Integer() : 0));
                bytes.AddRange(new byte[element]);
                return;
            }

            var number = Number();
            var bits = type.Text switch
            {
                ".f32" =>
                    BitConverter.SingleToUInt32Bits((float)(number.Kind == OperandKind.Real ? number.Real : number.Integer)),
                ".f64" => BitConverter.DoubleToUInt64Bits(number.Kind == OperandKind.Real ? number.Real : number.Integer),
                _ => (ulong)number.Integer,
            };
            for (var i = 0; i < element; i++)
            {
                bytes.Add((byte)(bits >> (8 * i)));
            }
        }
    }
}
