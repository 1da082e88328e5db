// deadray-hub: the program that talks to the network. deadray starts it where a model is none of
// this machine's; what it writes to standard output is for deadray (docs/hub.md).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "host/base/json_text.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/base/stopwatch.h"
#include "host/base/version.h"
#include "host/command/command_line.h"
#include "host/command/program_folder.h"
#include "host/command/run_program.h"
#include "host/formats/hub_cache.h"
#include "host/remote/download.h"
#include "host/remote/http/url.h"
#include "host/remote/hub_report.h"
#include "host/remote/hub_settings.h"
#include "host/remote/repository/repository_fetch.h"
#include "host/remote/repository/repository_refs.h"
#include "host/remote/url_fetch.h"

namespace deadray {
namespace {

struct Options {
  std::vector<std::string> names;
  std::string purpose = "predict";
  bool quiet = false;
};

/// One model, by whichever way.
struct Fetch {
  std::unique_ptr<RepositoryFetch> repository;
  std::unique_ptr<UrlFetch> url;
};

void fetch(const Options& options) {
  const Stopwatch watch;
  HttpClient client(read_hub_settings(), options.quiet);
  const Purpose purpose = options.purpose == "census" ? Purpose::census : Purpose::predict;
  const std::filesystem::path cache = std::filesystem::absolute(deadray_cache()),
                              catalogue = norm_catalogue_file();
  std::vector<Fetch> fetches;
  for (const std::string& text : options.names) {
    const ModelName name = parse_model_name(text);
    Fetch one;
    if (name.url.empty())
      one.repository = std::make_unique<RepositoryFetch>(client, name, purpose, cache, catalogue);
    else
      one.url = std::make_unique<UrlFetch>(client, name, purpose, cache, catalogue);
    fetches.push_back(std::move(one));
  }
  for (const Fetch& one : fetches) one.repository ? one.repository->start() : one.url->start();
  client.run();
  std::vector<LocalModel> models;
  for (const Fetch& one : fetches)
    models.push_back(one.repository ? one.repository->result() : one.url->result());
  write_output(record_text(to_json(models, client, watch.seconds())));
}

void download(const Options& options) {
  const Stopwatch watch;
  HttpClient client(read_hub_settings(), options.quiet);
  Download download(client, parse_model_name(options.names.at(0)),
                    std::filesystem::absolute(hub_cache()), options.quiet);
  download.start();
  client.run();
  write_output(record_text(to_json({download.result()}, client, watch.seconds())));
}

void list_revisions(const Options& options) {
  HttpClient client(read_hub_settings(), options.quiet);
  const ModelName name = parse_model_name(options.names.at(0));
  if (name.repository.empty())
    throw UsageError(fmt::format("{}: a URL has no revisions", shown_url(name.url)));
  Revisions revisions;
  ask_revisions(client, name, revisions);
  client.run();
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& [revision, commit] : revisions)
    list.push_back({{"name", revision}, {"commit", commit}});
  write_output(record_text({{"schema", "deadray/hub/1"}, {"revisions", std::move(list)}}));
}

/// The options of a command that takes one model.
void take_one(CLI::App& command, Options& options) {
  command.add_option("name", options.names, "org/name[@revision]")->required()->expected(1);
  command.add_flag("-q,--quiet", options.quiet, "No progress");
}

int run(int argc, char** argv) {
  CLI::App app("Fetches of models on the hub what deadray needs; deadray starts it", "deadray-hub");
  app.set_version_flag("--version", fmt::format("deadray-hub {}", version()));
  app.require_subcommand(1);
  Options options;
  CLI::App* fetching = app.add_subcommand(
      "fetch", "Configuration, headers and norms of models, into deadray's own cache");
  fetching->add_option("--for", options.purpose, "What they are for: predict or census")
      ->check(CLI::IsMember({"predict", "census"}));
  fetching->add_flag("-q,--quiet", options.quiet, "No progress");
  fetching->add_option("names", options.names, "org/name[@revision], or the URL of a file")
      ->required();
  CLI::App* downloading = app.add_subcommand(
      "download", "Configuration, tokenizer and weights, into the Hugging Face cache");
  take_one(*downloading, options);
  CLI::App* listing = app.add_subcommand("revisions", "Branches and tags, and their commits");
  take_one(*listing, options);
  if (!parse_command_line(app, argc, argv)) return 0;
  catch_stop_signals();
  if (*fetching) fetch(options);
  if (*downloading) download(options);
  if (*listing) list_revisions(options);
  return 0;
}

}  // namespace
}  // namespace deadray

int main(int argc, char** argv) {
  return deadray::run_program([&] { return deadray::run(argc, argv); });
}
