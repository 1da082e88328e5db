#pragma once

#include <cstdint>

// What the library says, with system calls of its own. Every line begins with the process's number.
namespace deadray::faults {

/// Opens the report, and catches signals of crashes for it. Before any fault.
void prepare_report();

/// "1234 fault malloc 5678 12 libc10.so+0x1a2b …": kind, number of the call, error (0: a short
/// count), and the frames that led there.
void report_fault(const char* kind, std::uint64_t number, int error);

/// "1234 calls read=10 write=2 …"
void report_counts(const char* const* kinds, const std::uint64_t* counts, int n);

/// Whether an address lies in the program loader, which ends the process when it lacks memory.
bool is_loader(const void* address);

/// What `name` means to the libraries after this one.
void* next_definition(const char* name);

}  // namespace deadray::faults
