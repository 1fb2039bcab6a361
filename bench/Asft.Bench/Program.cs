using Asft.Bench.Foundation;

return FoundationTable.Run(rounds: 15);
