using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Syntax;

/// <summary>
/// Reads PTX into kernels. A call puts the function's text in place of itself, in a scope of its own: PTX from kernels has no
/// recursion.
/// </summary>
internal sealed partial class PtxParser
{
    private const int DeepestCall = 32;

    private readonly string _ptx;
    private readonly List<Token> _tokens;
    private readonly SyntaxModule _module = new();
    private readonly Dictionary<string, Function> _functions = [];
    private readonly Dictionary<string, Variable> _globals = [];
    private SyntaxKernel _kernel = new("");
    private Scope _scope = new(null, 0);
    private int _scopes;
    private int _at;
    private int _calls;
    private string? _return; // where a ret of the function in place goes; null in the kernel itself
    private List<(SyntaxInstruction Branch, Scope Scope, string Label)> _branches = [];

    private PtxParser(string ptx)
    {
        _ptx = ptx;
        _tokens = PtxLexer.Read(ptx);
    }

    /// <summary>Reads a module.</summary>
    /// <exception cref="CudaException">The text is not the PTX that this machine knows; the message names the line.</exception>
    public static SyntaxModule Read(string ptx)
    {
        var parser = new PtxParser(ptx);
        parser.ReadModule();
        return parser._module;
    }

    private Token Current => _tokens[_at];

    private void ReadModule()
    {
        // functions may follow the kernels that call them
        for (; Current.Kind != TokenKind.End; _at++)
        {
            if (Current.Is(".func"))
            {
                ReadFunction();
                _at--;
            }
        }

        _at = 0;
        while (Current.Kind != TokenKind.End)
        {
            switch (Current.Text)
            {
                case ".version":
                case ".target":
                case ".address_size":
                    var line = Current.Line;
                    while (Current.Kind != TokenKind.End && Current.Line == line)
                    {
                        _at++;
                    }

                    break;
                case ".visible" or ".weak" or ".common" or ".extern":
                    _at++;
                    break;
                case ".entry":
                    ReadEntry();
                    break;
                case ".func":
                    ReadFunction();
                    break;
                case ".global" or ".const" or ".shared":
                    ReadVariables(_globals);
                    break;
                case ".file" or ".section" or ".loc":
                    SkipDebugging();
                    break;
                default:
                    throw Error($"'{Current.Text}' is not known here");
            }
        }
    }

    private void SkipDebugging()
    {
        var section = Take(".section");
        if (!section)
        {
            var line = Current.Line;
            while (Current.Kind != TokenKind.End && Current.Line == line)
            {
                _at++;
            }

            return;
        }

        while (!Current.Is("}") && Current.Kind != TokenKind.End)
        {
            _at++;
        }

        Expect("}");
    }

    private void ReadEntry()
    {
        Expect(".entry");
        _kernel = new SyntaxKernel(Name());
        _scope = NewScope(null);
        _branches = [];
        _return = null;
        if (Take("("))
        {
            var offset = 0L;
            while (!Take(")"))
            {
                var parameter = ReadVariable(StateSpace.Parameter, Expect(".param"));
                offset = Align(offset, parameter.Align);
                parameter.Address = (ulong)offset;
                offset += parameter.Bytes;
                _kernel.Parameters.Add(parameter);
                _scope.Variables[parameter.Name] = parameter;
                Take(",");
            }

            _kernel.ParameterBytes = (int)offset;
        }

        while (!Current.Is("{"))
        {
            switch (Current.Text)
            {
                case ".maxntid":
                    _at++;
                    _kernel.MaxThreads = ReadThreads();
                    break;
                case ".reqntid":
                    _at++;
                    _kernel.RequiredThreads = ReadThreads();
                    break;
                case ".minnctapersm" or ".maxnreg" or ".maxnctapersm":
                    _at++;
                    Integer();
                    break;
                case ".noreturn":
                    _at++;
                    break;
                default:
                    throw Error($"'{Current.Text}' is not known here");
            }
        }

        Expect("{");
        ReadBody();
        ResolveBranches();
        _module.Kernels.Add(_kernel);
        foreach (var variable in _globals.Values)
        {
            if (variable.Space != StateSpace.Shared && !_module.Variables.Contains(variable))
            {
                _module.Variables.Add(variable);
            }
        }
    }

    private int ReadThreads()
    {
        var threads = Integer();
        while (Take(","))
        {
            threads *= Integer();
        }

        return (int)threads;
    }

    // .func (results) name (parameters) { ... }: only remembered, and read at each call
    private void ReadFunction()
    {
        Expect(".func");
        var results = Current.Is("(") ? SkipParameters() : [];
        var name = Name();
        var parameters = Current.Is("(") ? SkipParameters() : [];
        while (Current.Kind == TokenKind.Dotted)
        {
            _at++; // .noreturn and such
        }

        if (Take(";"))
        {
            return; // a declaration
        }

        Expect("{");
        _functions[name] = new Function(results, parameters, _at);
        for (var depth = 1; depth > 0; _at++)
        {
            depth += Current.Is("{") ? 1 : Current.Is("}") ? -1 : 0;
            if (Current.Kind == TokenKind.End)
            {
                throw Error($"function {name} does not end");
            }
        }
    }

    private List<string> SkipParameters()
    {
        var names = new List<string>();
        Expect("(");
        while (!Take(")"))
        {
            var space = Current;
            if (!Take(".param") && !Take(".reg"))
            {
                throw Error($"'{space.Text}' where a parameter should stand");
            }

            if (space.Is(".reg"))
            {
                throw Error("functions with register parameters are not known");
            }

            names.Add(ReadVariable(StateSpace.Local, space).Name);
            Take(",");
        }

        return names;
    }
}
