// How a logit is stored. A chunk of logits stays in registers as the 32-bit words it was loaded in, and each use takes an element out
// of its word, which is one instruction; so the registers hold half as much for the 16-bit types.
#pragma once
#include "math.cuh"

constexpr int VectorBytes = 16;
constexpr int VectorWords = 4;

// What the 16-bit types share: two elements to a word.
struct Half {
    typedef float Real; // the type of the arithmetic
    typedef unsigned short Stored;
    static constexpr int Bytes = 2;
    static constexpr int Chunk = HalfChunk;
    static constexpr int CappedChunk = HalfCappedChunk;
    static constexpr int GeneralChunk = HalfGeneralChunk;
    static constexpr bool IsCapped = false;
};

struct BFloat16 : Half {
    static constexpr ElementType Type = ElementType::BFloat16;

    __device__ static float at(const unsigned* words, int i) {
        float value;
        if ((i & 1) != 0) {
            asm("and.b32 %0, %1, 0xFFFF0000;" : "=f"(value) : "r"(words[i / 2]));
        } else {
            asm("shl.b32 %0, %1, 16;" : "=f"(value) : "r"(words[i / 2]));
        }
        return value;
    }

    __device__ static unsigned pack(float low, float high) {
        unsigned word;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
        return word;
    }

    __device__ static unsigned maxPair(unsigned a, unsigned b) {
        unsigned word;
        asm("max.bf16x2 %0, %1, %2;" : "=r"(word) : "r"(a), "r"(b));
        return word;
    }

    __device__ static unsigned minPair(unsigned a, unsigned b) {
        unsigned word;
        asm("min.bf16x2 %0, %1, %2;" : "=r"(word) : "r"(a), "r"(b));
        return word;
    }
};

struct Float16 : Half {
    static constexpr ElementType Type = ElementType::Float16;

    __device__ static float at(const unsigned* words, int i) {
        float value;
        if ((i & 1) != 0) {
            asm("{.reg .b16 low, high; mov.b32 {low, high}, %1; cvt.f32.f16 %0, high;}" : "=f"(value) : "r"(words[i / 2]));
        } else {
            asm("{.reg .b16 low, high; mov.b32 {low, high}, %1; cvt.f32.f16 %0, low;}" : "=f"(value) : "r"(words[i / 2]));
        }
        return value;
    }

    __device__ static unsigned pack(float low, float high) {
        unsigned word;
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
        return word;
    }

    __device__ static unsigned maxPair(unsigned a, unsigned b) {
        unsigned word;
        asm("max.f16x2 %0, %1, %2;" : "=r"(word) : "r"(a), "r"(b));
        return word;
    }

    __device__ static unsigned minPair(unsigned a, unsigned b) {
        unsigned word;
        asm("min.f16x2 %0, %1, %2;" : "=r"(word) : "r"(a), "r"(b));
        return word;
    }
};

struct Float32 {
    typedef float Real;
    typedef unsigned Stored;
    static constexpr ElementType Type = ElementType::Float32;
    static constexpr int Bytes = 4;
    static constexpr int Chunk = Float32Chunk;
    static constexpr int CappedChunk = Float32CappedChunk;
    static constexpr int GeneralChunk = Float32GeneralChunk;
    static constexpr bool IsCapped = false;

    __device__ static float at(const unsigned* words, int i) { return __uint_as_float(words[i]); }
};

struct Float64 {
    typedef double Real;
    typedef unsigned long long Stored;
    static constexpr ElementType Type = ElementType::Float64;
    static constexpr int Bytes = 8;
    static constexpr int Chunk = Float64Chunk;
    static constexpr int GeneralChunk = Float64Chunk;
    static constexpr bool IsCapped = false;

    __device__ static double at(const unsigned* words, int i) {
        return __hiloint2double(static_cast<int>(words[2 * i + 1]), static_cast<int>(words[2 * i]));
    }
};

// The same elements under a softcap, for the kernels that serve nothing else.
template <typename Element>
struct Capped : Element {
    static constexpr int Chunk = Element::CappedChunk;
    static constexpr bool IsCapped = true;
};

// N elements as they are stored, side by side.
template <typename Element, int N>
struct Packed {
    typedef typename Element::Real Real;
    static constexpr int Words = N * Element::Bytes / 4;

    unsigned words[Words];

    __device__ Real at(int i) const { return Element::at(words, i); }

    // NaN are none: for the 16-bit types two at a time.
    __device__ Real largest() const {
        if constexpr (Element::Bytes == 2) {
            unsigned pair = words[0];
#pragma unroll
            for (int i = 1; i < Words; i++) {
                pair = Element::maxPair(pair, words[i]);
            }
            return max(Element::at(&pair, 0), Element::at(&pair, 1));
        } else {
            Real result = at(0);
#pragma unroll
            for (int i = 1; i < N; i++) {
                result = max(result, at(i));
            }
            return result;
        }
    }

    // The smallest of two chunks.
    __device__ Real smallest(const Packed& other) const {
        if constexpr (Element::Bytes == 2) {
            unsigned pair = Element::minPair(words[0], other.words[0]);
#pragma unroll
            for (int i = 1; i < Words; i++) {
                pair = Element::minPair(Element::minPair(pair, words[i]), other.words[i]);
            }
            return min(Element::at(&pair, 0), Element::at(&pair, 1));
        } else {
            Real result = min(at(0), other.at(0));
#pragma unroll
            for (int i = 1; i < N; i++) {
                result = min(min(result, at(i)), other.at(i));
            }
            return result;
        }
    }
};

// N elements of any type.
template <typename Real, int N>
struct Widened {
    Real values[N];

    __device__ Real at(int i) const { return values[i]; }

    __device__ Real largest() const {
        Real result = values[0];
#pragma unroll
        for (int i = 1; i < N; i++) {
            result = max(result, values[i]);
        }
        return result;
    }

    __device__ Real smallest(const Widened& other) const {
        Real result = min(values[0], other.values[0]);
#pragma unroll
        for (int i = 1; i < N; i++) {
            result = min(min(result, values[i]), other.values[i]);
        }
        return result;
    }
};

// A single element as it is stored, in the low bits.
__device__ __forceinline__ float widen(BFloat16, unsigned short stored) {
    float value;
    asm("mov.b32 %0, {%1, %2};" : "=f"(value) : "h"(static_cast<unsigned short>(0)), "h"(stored));
    return value;
}

__device__ __forceinline__ float widen(Float16, unsigned short stored) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(stored));
    return value;
}

__device__ __forceinline__ float widen(Float32, unsigned stored) { return __uint_as_float(stored); }
__device__ __forceinline__ double widen(Float64, unsigned long long stored) { return __longlong_as_double(static_cast<long long>(stored)); }

// Rounded to the nearest, of two equally near to the even one.
__device__ __forceinline__ unsigned short narrow(BFloat16, float value) {
    unsigned short stored;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(stored) : "f"(value));
    return stored;
}

__device__ __forceinline__ unsigned short narrow(Float16, float value) {
    unsigned short stored;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(stored) : "f"(value));
    return stored;
}

__device__ __forceinline__ unsigned narrow(Float32, float value) { return __float_as_uint(value); }
__device__ __forceinline__ unsigned long long narrow(Float64, double value) {
    return static_cast<unsigned long long>(__double_as_longlong(value));
}

template <typename Element>
__device__ __forceinline__ typename Element::Real load(const unsigned char* row, long long index) {
    return widen(Element(), reinterpret_cast<const typename Element::Stored*>(row)[index]);
}

template <typename Element>
__device__ __forceinline__ void store(unsigned char* row, long long index, typename Element::Real value) {
    reinterpret_cast<typename Element::Stored*>(row)[index] = narrow(Element(), value);
}

// An element of any type, for a reference that is stored in another one than the policy.
template <typename Real>
__device__ __forceinline__ Real loadAny(const unsigned char* row, ElementType type, long long index) {
    switch (type) {
        case ElementType::BFloat16: return static_cast<Real>(load<BFloat16>(row, index));
        case ElementType::Float16: return static_cast<Real>(load<Float16>(row, index));
        case ElementType::Float32: return static_cast<Real>(load<Float32>(row, index));
        default: return static_cast<Real>(load<Float64>(row, index));
    }
}

// Elements at a distance of a warp, from "first" on.
template <typename Element, typename Real, int N>
__device__ __forceinline__ void loadLoose(const unsigned char* row, int first, Widened<Real, N>& chunk) {
    const typename Element::Stored* element = reinterpret_cast<const typename Element::Stored*>(row) + first;
#pragma unroll
    for (int i = 0; i < N; i++) {
        chunk.values[i] = static_cast<Real>(widen(Element(), element[i * WarpSize]));
    }
}

template <typename Real, int N>
__device__ __forceinline__ void loadLooseAny(const unsigned char* row, ElementType type, int first, Widened<Real, N>& chunk) {
    switch (type) {
        case ElementType::BFloat16: loadLoose<BFloat16>(row, first, chunk); break;
        case ElementType::Float16: loadLoose<Float16>(row, first, chunk); break;
        case ElementType::Float32: loadLoose<Float32>(row, first, chunk); break;
        default: loadLoose<Float64>(row, first, chunk); break;
    }
}

// Puts the values of a chunk back into words.
template <typename Element, int N>
__device__ __forceinline__ void packAll(const typename Element::Real* values, unsigned* words) {
    if constexpr (Element::Bytes == 2) {
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            words[i] = Element::pack(values[2 * i], values[2 * i + 1]);
        }
    } else if constexpr (Element::Bytes == 4) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            words[i] = __float_as_uint(values[i]);
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) {
            words[2 * i] = static_cast<unsigned>(__double2loint(values[i]));
            words[2 * i + 1] = static_cast<unsigned>(__double2hiint(values[i]));
        }
    }
}

// Makes one element of a chunk another value; none where i is -1.
template <typename Element, int N>
__device__ __forceinline__ void replace(unsigned* words, int i, typename Element::Real value) {
    if constexpr (Element::Bytes == 2) {
        unsigned stored = narrow(Element(), value);
#pragma unroll
        for (int word = 0; word < N / 2; word++) {
            words[word] = i == 2 * word ? (words[word] & 0xFFFF0000u) | stored
                : i == 2 * word + 1 ? (words[word] & 0xFFFFu) | stored << 16 : words[word];
        }
    } else if constexpr (Element::Bytes == 4) {
#pragma unroll
        for (int word = 0; word < N; word++) {
            words[word] = i == word ? narrow(Element(), value) : words[word];
        }
    } else {
#pragma unroll
        for (int word = 0; word < N; word++) {
            words[2 * word] = i == word ? static_cast<unsigned>(__double2loint(value)) : words[2 * word];
            words[2 * word + 1] = i == word ? static_cast<unsigned>(__double2hiint(value)) : words[2 * word + 1];
        }
    }
}

// A lane's vectors of a chunk, 16 bytes each, one or two, as far apart as a warp's lanes take together. What is read for the last time, and
// the gradient, which is not read again soon, are marked to leave the caches first: what comes before an end is read for the last time. Of
// the two ways of loading, one is switched off: so threads do not part.
constexpr int WarpBytes = WarpSize * VectorBytes;

__device__ __forceinline__ void loadVectors(const unsigned char* address, unsigned (&words)[VectorWords], int place = 0, int end = 0) {
    asm volatile("{.reg .pred isLast; setp.lt.s32 isLast, %5, %6; @isLast ld.global.cs.v4.b32 {%0, %1, %2, %3}, [%4]; "
                 "@!isLast ld.global.v4.b32 {%0, %1, %2, %3}, [%4];}"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "l"(__cvta_generic_to_global(address)), "r"(place), "r"(end));
}

__device__ __forceinline__ void loadVectors(const unsigned char* address, unsigned (&words)[2 * VectorWords], int place = 0, int end = 0) {
    asm volatile("{.reg .pred isLast; setp.lt.s32 isLast, %9, %11; @isLast ld.global.cs.v4.b32 {%0, %1, %2, %3}, [%8]; "
                 "@!isLast ld.global.v4.b32 {%0, %1, %2, %3}, [%8]; @isLast ld.global.cs.v4.b32 {%4, %5, %6, %7}, [%8+%10]; "
                 "@!isLast ld.global.v4.b32 {%4, %5, %6, %7}, [%8+%10];}"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]), "=r"(words[4]), "=r"(words[5]), "=r"(words[6]),
                   "=r"(words[7])
                 : "l"(__cvta_generic_to_global(address)), "r"(place), "n"(WarpBytes), "r"(end));
}

template <bool Anywhere> // in global or in shared memory: the address tells
__device__ __forceinline__ void loadLastVectors(const unsigned char* address, unsigned (&words)[VectorWords]) {
    if constexpr (Anywhere) {
        asm volatile("ld.cs.v4.b32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "l"(address));
    } else {
        loadVectors(address, words, 0, 1);
    }
}

template <bool Anywhere>
__device__ __forceinline__ void loadLastVectors(const unsigned char* address, unsigned (&words)[2 * VectorWords]) {
    if constexpr (Anywhere) {
        asm volatile("ld.cs.v4.b32 {%0, %1, %2, %3}, [%8]; ld.cs.v4.b32 {%4, %5, %6, %7}, [%8+%9];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]), "=r"(words[4]), "=r"(words[5]), "=r"(words[6]),
                       "=r"(words[7])
                     : "l"(address), "n"(WarpBytes));
    } else {
        loadVectors(address, words, 0, 1);
    }
}

// To shared memory.
__device__ __forceinline__ void keepVectors(unsigned address, const unsigned (&words)[VectorWords]) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};"
                 :: "r"(address), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3]) : "memory");
}

__device__ __forceinline__ void keepVectors(unsigned address, const unsigned (&words)[2 * VectorWords]) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4}; st.shared.v4.b32 [%0+%9], {%5, %6, %7, %8};"
                 :: "r"(address), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3]), "r"(words[4]), "r"(words[5]), "r"(words[6]),
                    "r"(words[7]), "n"(WarpBytes) : "memory");
}

__device__ __forceinline__ void storeVectors(unsigned char* address, const unsigned (&words)[VectorWords]) {
    asm volatile("st.global.cs.v4.b32 [%0], {%1, %2, %3, %4};"
                 :: "l"(__cvta_generic_to_global(address)), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3]) : "memory");
}

__device__ __forceinline__ void storeVectors(unsigned char* address, const unsigned (&words)[2 * VectorWords]) {
    asm volatile("st.global.cs.v4.b32 [%0], {%1, %2, %3, %4}; st.global.cs.v4.b32 [%0+%9], {%5, %6, %7, %8};"
                 :: "l"(__cvta_generic_to_global(address)), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3]), "r"(words[4]),
                    "r"(words[5]), "r"(words[6]), "r"(words[7]), "n"(WarpBytes) : "memory");
}
