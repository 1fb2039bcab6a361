// What the launch code and the kernels agree on. Written by `./build.sh kernels` from src/Asft.Kernels/Cuda/KernelConstants.cs, which
// says what the constants mean, and from the enumerations of src/Asft.Kernels.
#pragma once

constexpr int WarpSize = 32;
constexpr int RowThreads = 512;
constexpr int LongRowThreads = 1024;
constexpr int CombineThreads = 128;
constexpr int StateThreads = 128;
constexpr int ReductionThreads = 512;
constexpr int LargeFactor = 8;
constexpr int RecordBytes = 112;
constexpr int FaultClaimed = 1;
constexpr int FaultReported = 2;
constexpr int HalfChunk = 16;
constexpr int HalfCappedChunk = 16;
constexpr int HalfGeneralChunk = 8;
constexpr int Float32Chunk = 8;
constexpr int Float32CappedChunk = 8;
constexpr int Float32GeneralChunk = 4;
constexpr int Float64Chunk = 2;

enum class ElementType { Float32 = 0, Float64 = 1, Float16 = 2, BFloat16 = 3 };
enum class TokenWeighting { None = 0, Probability = 1, ImportanceRatio = 2, Entropy = 3 };
enum class WeightBound { Clamp = 0, Drop = 1 };
enum class KlEstimator { Exact = 0, K1 = 1, K2 = 2, K3 = 3 };
enum class ReferenceUse { None = 0, Sum = 1, ForwardKl = 2, ReverseKl = 3 };
