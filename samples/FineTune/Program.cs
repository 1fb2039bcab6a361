return FineTune.CommandLine.Run(args);
