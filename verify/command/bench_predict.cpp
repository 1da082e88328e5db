#include "verify/command/bench_predict.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/output.h"
#include "host/base/table/table.h"
#include "host/command/common_options.h"
#include "host/command/json_output.h"
#include "verify/device/environment_json.h"
#include "verify/record/record.h"
#include "verify/timing/predictor_timing.h"

namespace deadray {
namespace {

struct Options {
  std::vector<std::int64_t> dims = {384, 768, 4096};
  std::string model;
  OutputOptions output;
};

int run(const Options& options) {
  const JsonOutput json(options.output.json, {{options.model}, {}});
  nlohmann::ordered_json record{{"schema", "deadray/bench-predict/1"},
                                {"warm", nlohmann::ordered_json::array()}};
  Table table({{"d", Align::right},
               {"copy of gamma, ns", Align::right},
               {"prediction, ns", Align::right},
               {"ratio", Align::right}});
  for (const std::int64_t d : options.dims) {
    const PredictorTiming t = time_predictor(d);
    table.add_row({fmt::format("{}", d), fmt::format("{:.0f}", t.copy * 1e9),
                   fmt::format("{:.0f}", t.predict * 1e9),
                   fmt::format("{:.1f}", t.predict / t.copy)});
    record["warm"].push_back({{"hidden_size", d}, {"copy", t.copy}, {"predict", t.predict}});
  }
  std::string text = table.render(colour_allowed(STDOUT_FILENO, options.output.no_color));
  if (!options.model.empty()) {
    const ProcessTiming t =
        time_process(program_beside_this("deadray"), {"predict", options.model});
    text +=
        fmt::format("\nwhole process, deadray predict {}: {:.2f} ms at best, {:.2f} ms median\n",
                    on_one_line(options.model), t.best * 1e3, t.median * 1e3);
    record["process"] = {{"model", options.model}, {"best", t.best}, {"median", t.median}};
  }
  record["environment"] = environment_json();
  json.write(record);
  if (options.output.table_wanted()) write_output(text);
  return static_cast<int>(ExitCode::done);
}

}  // namespace

void add_bench_predict_command(CLI::App& bench, Command& chosen) {
  auto& command = *bench.add_subcommand(
      "predict", "One warm prediction against copying gamma, and the whole process");
  const auto options = std::make_shared<Options>();
  command.add_option("--dims", options->dims, "Hidden sizes")
      ->type_name("D,…")
      ->delimiter(',')
      ->check(positive_integer());
  command.add_option("--model", options->model, "Also time the whole process on this model")
      ->type_name("MODEL");
  add_output_options(command, options->output);
  command.callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace deadray
