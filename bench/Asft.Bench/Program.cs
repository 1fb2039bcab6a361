return Asft.Bench.CommandLine.Run(args);
