// Ten steps of fine-tuning, near the frozen model it began as: a model of 64 tokens learns that each is followed by the next.
using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;

var model = nn.Sequential(nn.Embedding(64, 32), nn.Linear(32, 64));
var baseModel = nn.Sequential(nn.Embedding(64, 32), nn.Linear(32, 64));     // TorchSharp has no clone: the same model once more,
baseModel.load_state_dict(model.state_dict());                              // with the same weights, is the frozen copy
using var optimizer = optim.AdamW(model.parameters(), lr: 0.05);

Tensor tokens = arange(0, 64, ScalarType.Int64).reshape(1, 64);
for (int step = 1; step <= 10; step++)
{
    using var scope = NewDisposeScope();
    Tensor logits = model.forward(tokens), reference;
    using (no_grad()) reference = baseModel.forward(tokens);
    Tensor loss = AsftFunctional.asft_loss(logits, tokens, reference, LossObjective.SftKl(klWeight: 0.05), shiftLabels: true);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    Console.WriteLine($"step {step}: loss {loss.item<float>():F4}");
}
