#include "host/base/table/table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "host/base/in_quotes.h"
#include "host/base/output.h"
#include "host/base/utf8.h"

namespace deadray {
namespace {

bool is_combining(char32_t c) noexcept {
  return (c >= 0x300 && c < 0x370) || (c >= 0x200B && c < 0x2010) || (c >= 0xFE00 && c < 0xFE10);
}
bool is_wide(char32_t c) noexcept {
  return (c >= 0x1100 && c < 0x1160) || (c >= 0x2E80 && c < 0xA4D0) ||
         (c >= 0xAC00 && c < 0xD7A4) || (c >= 0xF900 && c < 0xFB00) ||
         (c >= 0xFF00 && c < 0xFF61) || (c >= 0x1F300 && c < 0x1FA00) ||
         (c >= 0x20000 && c < 0x30000);
}

void append_cell(std::string& line, std::string_view cell, std::size_t width, Align align) {
  const std::string padding(width - display_width(cell), ' ');
  if (align == Align::right) line += padding;
  line += cell;
  if (align == Align::left) line += padding;
}

}  // namespace

std::size_t display_width(std::string_view text) noexcept {
  std::size_t width = 0;
  while (!text.empty()) {
    if (static_cast<unsigned char>(text[0]) < 0x80) {  // nearly all
      ++width;
      text.remove_prefix(1);
      continue;
    }
    const auto [code, length] = first_character(text);
    // A byte that begins no character is shown as one sign.
    width += length == 0 ? 1 : is_combining(code) ? 0 : is_wide(code) ? 2 : 1;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return width;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add_row(std::vector<std::string> cells) {
  if (cells.size() != columns_.size())
    throw std::invalid_argument("Table::add_row: as many cells as columns");
  for (std::string& cell : cells) cell = on_one_line(cell);  // a cell makes no row
  rows_.push_back(std::move(cells));
}

std::string Table::render(bool coloured) const {
  std::vector<std::size_t> widths;
  for (std::size_t k = 0; k < columns_.size(); ++k) {
    widths.push_back(display_width(columns_[k].title));
    for (const auto& row : rows_) widths[k] = std::max(widths[k], display_width(row[k]));
  }
  const auto line_of = [&](const auto& cell) {
    std::string line;
    for (std::size_t k = 0; k < columns_.size(); ++k) {
      if (k > 0) line += "  ";
      append_cell(line, cell(k), widths[k], columns_[k].align);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  };
  const std::string titles =
      line_of([&](std::size_t k) -> std::string_view { return columns_[k].title; });
  std::string text = coloured ? fmt::format("{}{}{}\n", kBold, titles, kPlain) : titles + "\n";
  for (const auto& row : rows_)
    text += line_of([&](std::size_t k) -> std::string_view { return row[k]; }) + "\n";
  return text;
}

bool colour_allowed(int descriptor, bool refused) {
  const auto variable = [](const char* name) {
    return std::string_view(std::getenv(name) != nullptr ? std::getenv(name) : "");
  };
  if (refused || !variable("NO_COLOR").empty()) return false;
  const auto forced = variable("CLICOLOR_FORCE");
  if (!forced.empty() && forced != "0") return true;
  return isatty(descriptor) != 0 && variable("TERM") != "dumb";
}

}  // namespace deadray
