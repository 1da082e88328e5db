#include "host/command/deliver.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "host/base/output.h"
#include "host/base/table/table.h"

namespace deadray {

void deliver(const std::function<nlohmann::ordered_json()>& record,
             const std::function<std::string(bool coloured)>& table,
             const std::vector<std::string>& notes, const JsonOutput& json,
             const OutputOptions& options) {
  if (json.wanted()) json.write(record());
  if (options.table_wanted()) write_output(table(colour_allowed(STDOUT_FILENO, options.no_color)));
  if (!options.quiet)
    for (const std::string& note : notes) write_message("note: " + note);
}

}  // namespace deadray
