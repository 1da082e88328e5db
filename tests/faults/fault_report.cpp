#include "tests/faults/fault_report.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace deadray::faults {
namespace {

int report = -1;
std::uintptr_t loader_begin = 0, loader_end = 0;

/// A line in memory of its own, written at once.
class Line {
 public:
  Line() { add(static_cast<std::uint64_t>(syscall(SYS_getpid)), 10); }
  void add(const char* text) {
    for (; *text != '\0' && end_ < sizeof text_ - 1; ++text) text_[end_++] = *text;
  }
  void add(std::uint64_t value, int base) {
    char digits[24];
    *std::to_chars(digits, std::end(digits) - 1, value, base).ptr = '\0';
    add(digits);
  }
  void write() {
    text_[end_++] = '\n';
    syscall(SYS_write, report, text_, end_);
  }

 private:
  char text_[4096];
  std::size_t end_ = 0;
};

/// " libc10.so+0x1a2b(symbol)"
void add_frame(Line& line, void* address) {
  Dl_info info = {};
  line.add(" ");
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return line.add("?");
  const char* slash = std::strrchr(info.dli_fname, '/');
  line.add(slash == nullptr ? info.dli_fname : slash + 1);
  line.add("+0x");
  line.add(
      static_cast<std::uint64_t>(static_cast<char*>(address) - static_cast<char*>(info.dli_fbase)),
      16);
  if (info.dli_sname == nullptr) return;
  line.add("(");
  line.add(info.dli_sname);
  line.add(")");
}

void add_frames(Line& line, int skipped) {
  void* frames[24];
  const int n = backtrace(frames, std::size(frames));
  for (int i = skipped; i < n; ++i) add_frame(line, frames[i]);
}

void report_crash(int signal) {
  Line line;
  line.add(" crash ");
  line.add(static_cast<std::uint64_t>(signal), 10);
  add_frames(line, 2);
  line.write();
  ::raise(signal);  // its usual end: the handler serves once
}

int find_loader(dl_phdr_info* object, std::size_t, void*) {
  if (std::strstr(object->dlpi_name, "/ld-linux") == nullptr) return 0;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = object->dlpi_phdr[i];
    if (segment.p_type == PT_LOAD)
      loader_end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
  }
  loader_begin = object->dlpi_addr;
  return 1;
}

}  // namespace

void prepare_report() {
  dl_iterate_phdr(find_loader, nullptr);
  void* frames[2];
  backtrace(frames, 2);  // its first call loads a library
  const char* file = std::getenv("DEADRAY_FAULTS_REPORT");
  if (file == nullptr) file = "/dev/null";
  // A number that no program takes for one of its own.
  const long opened = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND, 0666);
  report = static_cast<int>(syscall(SYS_fcntl, opened, F_DUPFD_CLOEXEC, 700));
  syscall(SYS_close, opened);
  struct sigaction action = {};
  action.sa_handler = report_crash;
  action.sa_flags = SA_RESETHAND | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT})
    sigaction(signal, &action, nullptr);
}

void report_fault(const char* kind, std::uint64_t number, int error) {
  Line line;
  line.add(" fault ");
  line.add(kind);
  line.add(" ");
  line.add(number, 10);
  line.add(" ");
  line.add(static_cast<std::uint64_t>(error), 10);
  add_frames(line, 3);
  line.write();
}

void report_counts(const char* const* kinds, const std::uint64_t* counts, int n) {
  Line line;
  line.add(" calls");
  for (int i = 0; i < n; ++i) {
    line.add(" ");
    line.add(kinds[i]);
    line.add("=");
    line.add(counts[i], 10);
  }
  line.write();
}

bool is_loader(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  return at >= loader_begin && at < loader_end;
}

void* next_definition(const char* name) { return dlsym(RTLD_NEXT, name); }

}  // namespace deadray::faults
