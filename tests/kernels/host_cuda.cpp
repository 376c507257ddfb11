// Runs a kernel's __global__ entry on the host, thread after thread, so that sanitizers see what the GPU would do.
//
//   host_cuda CASE: the file holds int64 threads, record bytes, arrays; the argument record; and per array its int64
//   offset in the record, its int64 size and its bytes. Every array gets an allocation of just its size. The arrays are
//   written back in place.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

struct Three {
  unsigned x = 0, y = 0, z = 0;
};
static Three blockIdx, blockDim, threadIdx;

#define __global__
#define FERRITIN_HOST_CUDA
#include FERRITIN_HEADER

static std::int64_t number(std::FILE* file) {
  std::int64_t n = 0;
  if (std::fread(&n, 8, 1, file) != 1) std::abort();
  return n;
}

int main(int, char** argv) {
  std::FILE* file = std::fopen(argv[1], "r+b");
  const std::int64_t threads = number(file), size = number(file), arrays = number(file);
  ferritin::FERRITIN_RECORD record;
  if (size != sizeof(record)) return std::fprintf(stderr, "record of %zu bytes, not %ld\n", sizeof(record), long(size)), 3;
  if (std::fread(&record, sizeof(record), 1, file) != 1) std::abort();
  struct Array {
    long at;
    std::int64_t size;
    void* data;
  };
  std::vector<Array> held;
  for (std::int64_t k = 0; k < arrays; ++k) {
    const std::int64_t offset = number(file), bytes = number(file);
    void* data = std::malloc(bytes);
    held.push_back({std::ftell(file), bytes, data});
    if (bytes && std::fread(data, bytes, 1, file) != 1) std::abort();
    std::memcpy(reinterpret_cast<char*>(&record) + offset, &data, sizeof(data));
  }
  blockDim.x = 32;
  for (blockIdx.x = 0; blockIdx.x * 32 < threads; ++blockIdx.x)
    for (threadIdx.x = 0; threadIdx.x < 32; ++threadIdx.x) FERRITIN_ENTRY(record);
  for (const Array& a : held) {
    std::fseek(file, a.at, SEEK_SET);
    if (a.size && std::fwrite(a.data, a.size, 1, file) != 1) std::abort();
    std::free(a.data);
  }
  return std::fclose(file);
}
