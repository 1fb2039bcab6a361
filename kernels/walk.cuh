// How a block goes through a row. The body of the row is cut into tiles of one chunk for each lane of a warp, and the tiles are dealt to
// the warps in turn; lanes read and write 16 bytes at a time. The body begins at a 128-byte line of the policy row, so that no request
// touches one sector more than it must. What lies before it (the head) and after the last whole tile (the tail) are the edges: one
// element to a thread, neighbours to neighbours. Where the rows that belong together do not lie alike in memory, or have elements of
// different types, the tiles are loose: lanes read and write one element at a time, each the neighbour of the next lane's, whatever its
// type and wherever it lies.
#pragma once
#include "sums.cuh"

// A block has RowThreads or LongRowThreads: see RowBlock.cs.
constexpr int MostWarps = LongRowThreads / WarpSize;
__device__ __forceinline__ int threads() { return static_cast<int>(blockDim.x); }
__device__ __forceinline__ int warps() { return static_cast<int>(blockDim.x / WarpSize); }

constexpr int LineBytes = 128;
constexpr int LooseChunk = 8;

// The elements that a thread takes at a time.
template <typename Element, bool General>
__device__ constexpr int chunkOf() { return General ? Element::GeneralChunk : Element::Chunk; }

template <typename Element, int N>
struct Walk {
    static constexpr int Tile = N * WarpSize;
    static constexpr int PerVector = VectorBytes / Element::Bytes;
    static constexpr int Loose = N < LooseChunk ? N : LooseChunk; // elements that a lane takes of a loose tile
    static constexpr int LooseTile = Loose * WarpSize;

    bool isLoose;
    int head; // first element of the body
    int tail; // first element after it
    int first; // this block's part of the body
    int last;
    int headEdges; // this block's edges
    int tailFirst;
    int tailEdges;

    Walk() = default;

    // The row, and the other two rows that are read or written with it, or the same again.
    __device__ Walk(
        const unsigned char* row, const unsigned char* second, const unsigned char* third, bool alike,
        int vocabulary, int part, int parts, int tilesPerPart) {
        unsigned address = static_cast<unsigned>(reinterpret_cast<unsigned long long>(row));
        unsigned different = (address ^ static_cast<unsigned>(reinterpret_cast<unsigned long long>(second)))
            | (address ^ static_cast<unsigned>(reinterpret_cast<unsigned long long>(third)));
        isLoose = !alike || (different % VectorBytes) != 0;
        head = min(vocabulary, static_cast<int>((LineBytes - address % LineBytes) % LineBytes / Element::Bytes));
        int tiles = static_cast<int>(static_cast<unsigned>(vocabulary - head) / Tile);
        tail = head + tiles * Tile;
        first = head + min(tiles, part * tilesPerPart) * Tile;
        last = part == parts - 1 ? tail : head + min(tiles, (part + 1) * tilesPerPart) * Tile;
        headEdges = part == 0 ? head : 0;
        int share = parts == 1 ? vocabulary - tail : (vocabulary - tail + parts - 1) / parts;
        tailFirst = min(vocabulary, tail + part * share);
        tailEdges = min(share, vocabulary - tailFirst);
    }

    // Where this warp's first tile begins, from the front and from the back, and how far it is from one of its tiles to the next.
    __device__ static int step(int tile = Tile) { return warps() * tile; }

    // The same, made anew whenever it is asked for: registers are scarce.
    __device__ static int stepAgain() {
        int size;
        asm volatile("mov.u32 %0, %%ntid.x;" : "=r"(size));
        return size * N;
    }

    __device__ int front(int tile = Tile) const { return first + static_cast<int>(threadIdx.x / WarpSize) * tile; }
    __device__ int back(int tile = Tile) const { return last - tile - static_cast<int>(threadIdx.x / WarpSize) * tile; }

    __device__ bool isInTile(int index) const { return index >= head && index < tail; }

    // The edges, by number; the head comes first.
    __device__ int edges() const { return headEdges + tailEdges; }
    __device__ int edgeAt(int edge) const { return edge < headEdges ? edge : tailFirst + edge - headEdges; }

    // All elements of this block's part of the row, by number; the edges come first.
    __device__ int elements() const { return edges() + last - first; }
    __device__ int elementAt(int i) const { return i < edges() ? edgeAt(i) : first + i - edges(); }

    // Index in the row of the i-th element of this lane's chunk of a loose tile.
    __device__ static int looseAt(int start, int i) { return start + i * WarpSize + static_cast<int>(threadIdx.x % WarpSize); }

    // The same of a tile.
    __device__ static int elementAt(int start, int i) {
        int lane = threadIdx.x % WarpSize;
        return start + i / PerVector * (WarpSize * PerVector) + lane * PerVector + i % PerVector;
    }

    // Which element of this lane's chunk is the index-th of the tile, or -1 where another lane has it.
    __device__ static int slotOf(int index) {
        int lane = threadIdx.x % WarpSize;
        int place = index % (WarpSize * PerVector);
        return place / PerVector == lane ? index / (WarpSize * PerVector) * PerVector + place % PerVector : -1;
    }

    // This lane's chunk of a tile, for a row whose address was moved by laneBytes.
    __device__ static int laneBytes() { return threadIdx.x % WarpSize * VectorBytes; }

    __device__ static void load(const unsigned char* lane, int start, Packed<Element, N>& chunk, int end) {
        loadVectors(lane + static_cast<long long>(start) * Element::Bytes, chunk.words, start, end);
    }

    template <bool Anywhere>
    __device__ static void loadLast(const unsigned char* lane, int start, Packed<Element, N>& chunk) {
        loadLastVectors<Anywhere>(lane + static_cast<long long>(start) * Element::Bytes, chunk.words);
    }

    __device__ static void store(unsigned char* lane, int start, const Packed<Element, N>& chunk) {
        storeVectors(lane + static_cast<long long>(start) * Element::Bytes, chunk.words);
    }
};

// The first tiles of a block's part of its rows, as many as find room in the shared memory that its launch gives it: the gradient takes
// them from there. Those of the policy come first, then those of the reference.
template <typename Element, int N>
struct KeptTiles {
    typedef Walk<Element, N> Path;

    const int& tiles; // a parameter of the launch, which takes no register
    int end; // first element of the part that is not kept
    int shift; // from the first byte here to where this lane's chunks would begin if the whole row lay here

    __device__ KeptTiles(const Path& walk, const int& count) : tiles(count) {
        end = walk.first + tiles * Path::Tile;
        shift = walk.laneBytes() - walk.first * Element::Bytes;
    }

    __device__ bool has(int start) const { return start < end; }

    // Where this lane's chunks would begin, of the policy and of the reference.
    __device__ unsigned char* policyLane() const {
        extern __shared__ uint4 kept[];
        return reinterpret_cast<unsigned char*>(kept) + shift;
    }

    __device__ unsigned char* referenceLane() const { return policyLane() + bytes(); }

    __device__ void keepPolicy(int start, const Packed<Element, N>& chunk) const { keep(start * Element::Bytes, chunk); }
    __device__ void keepReference(int start, const Packed<Element, N>& chunk) const { keep(bytes() + start * Element::Bytes, chunk); }

private:
    __device__ int bytes() const { return tiles * (Path::Tile * Element::Bytes); }

    __device__ void keep(int offset, const Packed<Element, N>& chunk) const {
        extern __shared__ uint4 kept[];
        keepVectors(static_cast<unsigned>(__cvta_generic_to_shared(kept)) + shift + offset, chunk.words);
    }
};

// Makes a whole row, or a part of it, one value: 0 for a row that is ignored, NaN for one without a distribution.
template <typename Element>
__device__ __forceinline__ void fillRow(
    unsigned char* row, typename Element::Real value, int vocabulary, int part, int parts, int tilesPerPart) {
    constexpr int N = Element::Chunk;
    Walk<Element, N> walk(row, row, row, true, vocabulary, part, parts, tilesPerPart);
    typename Element::Real values[N];
#pragma unroll
    for (int i = 0; i < N; i++) {
        values[i] = value;
    }
    Packed<Element, N> chunk;
    packAll<Element, N>(values, chunk.words);
    unsigned char* lane = row + walk.laneBytes();
#pragma unroll 1
    for (int start = walk.front(); start < walk.last; start += walk.step()) {
        walk.store(lane, start, chunk);
    }
#pragma unroll 1
    for (int edge = threadIdx.x; edge < walk.edges(); edge += threads()) {
        store<Element>(row, walk.edgeAt(edge), value);
    }
}
