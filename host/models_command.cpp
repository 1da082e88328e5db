#include <unistd.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "host/architecture.h"
#include "host/commands.h"
#include "host/table.h"

namespace deadray {

void add_models_command(CLI::App& app, Command& chosen) {
  CLI::App* command = app.add_subcommand("models", "List the families of models that deadray knows");
  const auto options = std::make_shared<OutputOptions>();
  add_output_options(*command, *options);
  command->callback([options, &chosen] {
    chosen = [options] {
      JsonOutput json(options->json);
      nlohmann::ordered_json record{{"schema", "deadray/models/1"}, {"families", nlohmann::ordered_json::array()}};
      Table table({{"model_type"}, {"description"}});
      for (const Family& family : families()) {
        record["families"].push_back({{"model_type", family.model_type}, {"description", family.description}});
        table.add_row({std::string(family.model_type), std::string(family.description)});
      }
      json.write(record);
      if (options->table_wanted()) write_output(table.render(colour_allowed(STDOUT_FILENO, options->no_color)));
      return 0;
    };
  });
}

}  // namespace deadray
