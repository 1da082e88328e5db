// A library for LD_PRELOAD under which calls of the C library fail. A call fails by a hash of seed,
// kind of call and its number of that kind, so that one seed meets the same faults again as long as
// the program's threads keep their order.
//   DEADRAY_FAULTS=seed=7,read=0.01,malloc=1e-5   rates by kind, see kKinds; none: it only counts
//   DEADRAY_FAULTS_REPORT=FILE                    gains a line for each fault, for a crash, and at
//                                                 the end the number of calls of each kind
// Calls of the loader, calls before main() or after it, and those on standard error never fail.
#include "tests/faults/fault_report.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>

// The names are the C library's.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming,performance-no-int-to-ptr)

// glibc's own, which call nothing of this library.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace deadray::faults {
namespace {

enum Kind : int { kRead, kWrite, kSync, kRename, kClose, kOpen, kMalloc, kMap, kKindCount };
constexpr const char* kKinds[kKindCount] = {"read",  "write", "sync",   "rename",
                                            "close", "open",  "malloc", "map"};
/// What a call of a kind may meet; 0 is a short count.
constexpr int kMisfortunes[kKindCount][4] = {{EIO, EINTR, 0, 0},
                                             {ENOSPC, EIO, EINTR, 0},
                                             {EIO, ENOSPC, EINTR, EIO},
                                             {EIO, ENOSPC, EIO, EACCES},
                                             {EIO, EINTR, EIO, EINTR},
                                             {EMFILE, EIO, EINTR, ENOMEM},
                                             {ENOMEM, ENOMEM, ENOMEM, ENOMEM},
                                             {ENOMEM, ENOMEM, ENOMEM, ENOMEM}};

std::uint64_t seed = 0;
double rates[kKindCount] = {};
std::atomic<std::uint64_t> calls[kKindCount] = {};
std::atomic<bool> armed = false;
/// Set while this library itself works, or prepares to: its own calls are let through.
__attribute__((tls_model("initial-exec"))) thread_local bool inside = false;

/// splitmix64's finaliser.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Of the words that are no paths, which may differ from run to run: a suite and the processes that
/// it starts shall not fail at the same calls.
std::uint64_t hash_of(char** words) {
  std::uint64_t hash = 0;
  for (; *words != nullptr; ++words)
    for (const char* c = std::strchr(*words, '/') == nullptr ? *words : ""; *c != '\0'; ++c)
      hash = mix(hash + static_cast<unsigned char>(*c));
  return hash;
}

void read_settings(char** arguments) {
  const char* text = std::getenv("DEADRAY_FAULTS");
  for (const char* at = text; at != nullptr && *at != '\0';) {
    const char* value = std::strchr(at, '=');
    if (value == nullptr) break;
    const auto is = [&](const char* name) {
      return std::strlen(name) == static_cast<std::size_t>(value - at) &&
             std::strncmp(at, name, static_cast<std::size_t>(value - at)) == 0;
    };
    if (is("seed")) seed = mix(std::strtoull(value + 1, nullptr, 10)) + hash_of(arguments);
    for (int kind = 0; kind < kKindCount; ++kind)
      if (is(kKinds[kind])) rates[kind] = std::strtod(value + 1, nullptr);
    const char* comma = std::strchr(value, ',');
    at = comma == nullptr ? nullptr : comma + 1;
  }
}

/// Does this call fail? Then `misfortune` is the error, or 0 for a short count.
bool fails(Kind kind, const void* caller, int& misfortune) {
  if (!armed.load(std::memory_order_relaxed) || inside || is_loader(caller)) return false;
  const std::uint64_t number = calls[kind].fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t drawn =
      mix(seed + 0x9e3779b97f4a7c15 * (number * kKindCount + static_cast<unsigned>(kind) + 1));
  constexpr double kUnit = 1.0 / (1ull << 53);
  if (static_cast<double>(drawn >> 11) * kUnit >= rates[kind]) return false;
  misfortune = kMisfortunes[kind][drawn & 3];
  inside = true;
  report_fault(kKinds[kind], number, misfortune);
  inside = false;
  errno = misfortune;
  return true;
}

/// For calls that transfer bytes: a failure, or half of them.
template <typename Whole>
ssize_t transfer(Kind kind, const void* caller, std::size_t& count, const Whole& call) {
  int misfortune = 0;
  if (fails(kind, caller, misfortune)) {
    if (misfortune != 0) return -1;
    count = count > 1 ? count / 2 : count;
  }
  return call();
}

/// Of a call that fails or does not. A fault leaves `done` undone.
template <typename Whole>
auto attempt(Kind kind, const void* caller, const Whole& call) -> decltype(call()) {
  int misfortune = 0;
  if (!fails(kind, caller, misfortune)) return call();
  using Result = decltype(call());
  if constexpr (std::is_pointer_v<Result>)
    return kind == kMap ? static_cast<Result>(MAP_FAILED) : nullptr;
  else
    return static_cast<Result>(-1);
}

using Main = int (*)(int, char**, char**);
Main program_main = nullptr;

void disarm_and_report() {
  if (!armed.exchange(false)) return;
  inside = true;
  std::uint64_t counts[kKindCount];
  for (int kind = 0; kind < kKindCount; ++kind) counts[kind] = calls[kind];
  report_counts(kKinds, counts, kKindCount);
}

int armed_main(int argc, char** argv, char** environment) {
  inside = true;
  read_settings(argv);
  prepare_report();
  std::atexit(disarm_and_report);
  inside = false;
  armed = true;
  const int code = program_main(argc, argv, environment);
  disarm_and_report();
  return code;
}

}  // namespace
}  // namespace deadray::faults

// The names of the C library begin here. System calls are made directly: nothing is looked up.
using namespace deadray::faults;

#define DEADRAY_CALLER __builtin_return_address(0)

extern "C" {

int __libc_start_main(Main main, int argc, char** argv, void (*init)(), void (*fini)(),
                      void (*rtld_fini)(), void* stack_end) {
  program_main = main;
  using Start = int (*)(Main, int, char**, void (*)(), void (*)(), void (*)(), void*);
  const auto start = reinterpret_cast<Start>(next_definition("__libc_start_main"));
  return start(armed_main, argc, argv, init, fini, rtld_fini, stack_end);
}

ssize_t read(int file, void* to, std::size_t count) {
  return transfer(kRead, DEADRAY_CALLER, count, [&] { return syscall(SYS_read, file, to, count); });
}
ssize_t pread(int file, void* to, std::size_t count, off_t at) {
  return transfer(kRead, DEADRAY_CALLER, count,
                  [&] { return syscall(SYS_pread64, file, to, count, at); });
}
ssize_t pread64(int file, void* to, std::size_t count, off64_t at) {
  return transfer(kRead, DEADRAY_CALLER, count,
                  [&] { return syscall(SYS_pread64, file, to, count, at); });
}
ssize_t readv(int file, const iovec* to, int pieces) {
  std::size_t count = static_cast<std::size_t>(pieces);
  return transfer(kRead, DEADRAY_CALLER, count,
                  [&] { return syscall(SYS_readv, file, to, count); });
}

ssize_t write(int file, const void* from, std::size_t count) {
  if (file == STDERR_FILENO) return syscall(SYS_write, file, from, count);
  return transfer(kWrite, DEADRAY_CALLER, count,
                  [&] { return syscall(SYS_write, file, from, count); });
}
ssize_t pwrite(int file, const void* from, std::size_t count, off_t at) {
  return transfer(kWrite, DEADRAY_CALLER, count,
                  [&] { return syscall(SYS_pwrite64, file, from, count, at); });
}
ssize_t pwrite64(int file, const void* from, std::size_t count, off64_t at) {
  return transfer(kWrite, DEADRAY_CALLER, count,
                  [&] { return syscall(SYS_pwrite64, file, from, count, at); });
}
ssize_t writev(int file, const iovec* from, int pieces) {
  std::size_t count = static_cast<std::size_t>(pieces);
  if (file == STDERR_FILENO) return syscall(SYS_writev, file, from, count);
  return transfer(kWrite, DEADRAY_CALLER, count,
                  [&] { return syscall(SYS_writev, file, from, count); });
}
int fallocate(int file, int mode, off_t at, off_t count) {
  return attempt(kWrite, DEADRAY_CALLER,
                 [&] { return static_cast<int>(syscall(SYS_fallocate, file, mode, at, count)); });
}

int fsync(int file) {
  return attempt(kSync, DEADRAY_CALLER, [&] { return static_cast<int>(syscall(SYS_fsync, file)); });
}
int fdatasync(int file) {
  return attempt(kSync, DEADRAY_CALLER,
                 [&] { return static_cast<int>(syscall(SYS_fdatasync, file)); });
}
int rename(const char* from, const char* to) {
  return attempt(kRename, DEADRAY_CALLER,
                 [&] { return static_cast<int>(syscall(SYS_rename, from, to)); });
}
/// A descriptor whose closing fails is closed all the same, as on Linux.
int close(int file) {
  int misfortune = 0;
  const bool failed = fails(kClose, DEADRAY_CALLER, misfortune);
  const int result = static_cast<int>(syscall(SYS_close, file));
  if (!failed) return result;
  errno = misfortune;
  return -1;
}

// Variadic, as in <fcntl.h>: the mode is there only where a file may be made.
#define DEADRAY_OPEN(flags)                     \
  mode_t mode = 0;                              \
  if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
    va_list rest;                               \
    va_start(rest, flags);                      \
    mode = va_arg(rest, mode_t);                \
    va_end(rest);                               \
  }
int open(const char* path, int flags, ...) {
  DEADRAY_OPEN(flags)
  return attempt(kOpen, DEADRAY_CALLER, [&] {
    return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  });
}
int open64(const char* path, int flags, ...) {
  DEADRAY_OPEN(flags)
  return attempt(kOpen, DEADRAY_CALLER, [&] {
    return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode));
  });
}
int openat(int folder, const char* path, int flags, ...) {
  DEADRAY_OPEN(flags)
  return attempt(kOpen, DEADRAY_CALLER,
                 [&] { return static_cast<int>(syscall(SYS_openat, folder, path, flags, mode)); });
}

void* malloc(std::size_t size) {
  return attempt(kMalloc, DEADRAY_CALLER, [&] { return __libc_malloc(size); });
}
void* calloc(std::size_t count, std::size_t size) {
  return attempt(kMalloc, DEADRAY_CALLER, [&] { return __libc_calloc(count, size); });
}
void* realloc(void* old, std::size_t size) {
  return attempt(kMalloc, DEADRAY_CALLER, [&] { return __libc_realloc(old, size); });
}
void* memalign(std::size_t alignment, std::size_t size) {
  return attempt(kMalloc, DEADRAY_CALLER, [&] { return __libc_memalign(alignment, size); });
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return attempt(kMalloc, DEADRAY_CALLER, [&] { return __libc_memalign(alignment, size); });
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  int misfortune = 0;
  if (fails(kMalloc, DEADRAY_CALLER, misfortune)) return ENOMEM;
  void* const got = __libc_memalign(alignment, size);
  if (got == nullptr) return ENOMEM;
  *memory = got;
  return 0;
}

void* mmap(void* address, std::size_t size, int protection, int flags, int file, off_t at) {
  return attempt(kMap, DEADRAY_CALLER, [&] {
    return reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, file, at));
  });
}
void* mmap64(void* address, std::size_t size, int protection, int flags, int file, off64_t at) {
  return attempt(kMap, DEADRAY_CALLER, [&] {
    return reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, file, at));
  });
}

}  // extern "C"

// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming,performance-no-int-to-ptr)
