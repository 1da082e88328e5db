#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace deadray {

enum class Align { left, right };

struct Column {
  std::string title;
  Align align = Align::left;
};

/// Columns that a UTF-8 text takes on a terminal: one for a character, none for a combining mark,
/// two for an East Asian wide character.
std::size_t display_width(std::string_view text) noexcept;

/// A small text table: titles, then rows. Two spaces are between columns, none at the end of a
/// line.
class Table {
 public:
  explicit Table(std::vector<Column> columns);
  /// Cells are shown on one line each, whatever is in them.
  /// @throws std::invalid_argument when the number of cells is not that of the columns
  void add_row(std::vector<std::string> cells);
  bool empty() const noexcept { return rows_.empty(); }
  /// Lines that end in '\n'; titles bold when coloured.
  std::string render(bool coloured = false) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Whether text to this file descriptor may carry colour. --no-color (`refused`) and NO_COLOR (not
/// empty) say no; else CLICOLOR_FORCE (not "0") says yes; else it must be a terminal that is not
/// TERM=dumb.
bool colour_allowed(int descriptor, bool refused);

}  // namespace deadray
