#pragma once

#include "verify/suite/suite_report.h"

namespace deadray {

/// Option of the process that measures a row; not for people.
inline constexpr const char* kRowFlag = "--row";

/// Measures a row in a process of its own, or with --resume keeps its record. A row that fails
/// becomes an outcome, so that the next one can go on.
Outcome try_row(const SuiteOptions& options, const Row& row);

/// The line for people about a row that is done: the `number`-th of `total`.
std::string announcement(const Row& row, const Outcome& outcome, std::size_t number,
                         std::size_t total);

}  // namespace deadray
