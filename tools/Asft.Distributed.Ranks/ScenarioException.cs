namespace Asft.Distributed.Ranks;

/// <summary>A rank found something else than it should have.</summary>
internal sealed class ScenarioException(string message) : Exception(message);
