#include "host/hub/resolve_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <system_error>
#include <utility>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/hub/hub_name.h"
#include "host/hub/hub_process.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

/// A dangling link is there too: it was meant, and whoever opens it says what it is.
bool is_there(const std::string& path) {
  std::error_code ignored;
  return path.empty() || fs::exists(fs::symlink_status(path, ignored));
}

/// The URL of a folder or a page.
[[noreturn]] void throw_no_weights(const std::string& url) {
  throw UsageError(fmt::format(
      "{}: is the URL of no file of weights, which end in .safetensors, .gguf or .bin; of a whole "
      "model give the name, org/name[@revision]",
      shown_url(url)));
}

[[noreturn]] void throw_not_here(const HubName& name, const CachedModel& cached,
                                 const ResolveOptions& options) {
  if (name.is_url())
    throw NetworkError(fmt::format(
        "{}: {} reads the whole file: download it, with config.json beside it, and give its path",
        shown_url(name.url), options.command));
  throw NetworkError(fmt::format("{}: {}; `deadray {} {} --download` or `{}` downloads it",
                                 name.text(), cached.missing, options.command, name.text(),
                                 download_command(name.repository, name.revision)));
}

/// Before anything is started: there may be no program for it.
void require_program(const HubName& name, const CachedModel& cached,
                     const ResolveOptions& options) try {
  find_hub_program(options.program);
} catch (const ResourceError& error) {
  if (name.is_url())
    throw ResourceError(
        fmt::format("{}: needs deadray-hub: {}; or download the file, with "
                    "config.json beside it, and give its path",
                    shown_url(name.url), error.what()));
  throw ResourceError(fmt::format(
      "{}: no such file or folder, and {}; to fetch it needs deadray-hub: {}; or download it: {}",
      name.text(), cached.missing, error.what(), download_command(name.repository, name.revision)));
}

/// What the user called it.
HubSnapshot snapshot_of(const HubName& name) {
  HubSnapshot named;
  named.repository = name.repository;
  named.url = shown_url(name.url);
  if (!name.is_url()) named.revision = name.revision.empty() ? "main" : name.revision;
  return named;
}

/// A name, and which of the models it is.
struct Wanted {
  HubName name;
  std::size_t model = 0;
};

ResolvedModel resolved(const HubName& name, const FetchedModel& fetched) {
  HubSnapshot named = snapshot_of(name);
  named.commit = fetched.commit;
  named.endpoint = fetched.endpoint;
  return {fetched.path, std::move(named)};
}

void add(HubTraffic& sum, const HubTraffic& more) {
  sum.bytes += more.bytes;
  sum.requests += more.requests;
  sum.round_trips += more.round_trips;
  sum.seconds += more.seconds;
}

void fetch(const std::vector<Wanted>& wanted, const ResolveOptions& options,
           ResolvedModels& result) {
  std::vector<std::string> names;
  for (const Wanted& one : wanted) names.push_back(one.name.text());
  const HubAnswer answer = fetch_from_hub(
      options.program, options.purpose == HubPurpose::census ? "census" : "predict", names);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    result.models[wanted[i].model] = resolved(wanted[i].name, answer.models[i]);
  result.traffic = answer.traffic;
}

void download(const std::vector<Wanted>& wanted, const ResolveOptions& options,
              ResolvedModels& result) {
  result.traffic.emplace();
  for (const auto& [name, model] : wanted) {
    const HubAnswer answer = download_from_hub(options.program, name.text());
    result.models[model] = resolved(name, answer.models[0]);
    add(*result.traffic, answer.traffic);
  }
}

}  // namespace

std::vector<fs::path> ResolvedModels::paths() const {
  std::vector<fs::path> all;
  for (const ResolvedModel& model : models) all.push_back(model.path);
  return all;
}

ResolvedModels resolve_models(const std::vector<std::string>& given,
                              const ResolveOptions& options) {
  ResolvedModels result;
  std::vector<Wanted> wanted;
  for (const std::string& text : given) {
    result.models.push_back({text, std::nullopt});
    if (is_there(text)) continue;
    const std::optional<HubName> name = parse_hub_name(text);
    if (!name && is_url(text)) throw_no_weights(text);
    if (!name) continue;
    CachedModel cached;
    if (!name->is_url()) cached = find_cached_model(hub_cache(), name->repository, name->revision);
    if (!cached.folder.empty()) {
      result.models.back() = {cached.folder, snapshot_of(*name)};
      continue;
    }
    // A name without an organisation may as well be a folder that was misspelt.
    const bool is_short = !name->is_url() && name->repository.find('/') == std::string::npos;
    if (is_short && !options.download) continue;
    if ((options.purpose == HubPurpose::weights && !options.download) ||
        (options.download && name->is_url()))
      throw_not_here(*name, cached, options);
    require_program(*name, cached, options);
    wanted.push_back({*name, result.models.size() - 1});
  }
  if (wanted.empty()) return result;
  options.download ? download(wanted, options, result) : fetch(wanted, options, result);
  return result;
}

void add_origin(std::optional<HubSnapshot>& hub, const ResolvedModels& resolved,
                std::size_t place) {
  const std::optional<HubSnapshot>& model = resolved.models.at(place).named;
  if (!model) return;
  if (!hub) hub.emplace();
  const HubSnapshot& named = *model;
  if (!named.repository.empty()) hub->repository = named.repository;
  if (hub->commit.empty()) hub->commit = named.commit;
  hub->revision = named.revision;
  hub->url = named.url;
  hub->endpoint = named.endpoint;
  const bool alone = resolved.models.size() == 1;
  if (alone && !hub->endpoint.empty()) hub->traffic = resolved.traffic;
}

std::string describe(const HubTraffic& traffic) {
  return fmt::format("{} byte{} in {} request{}, {} round trip{}, {:.2f} s", traffic.bytes,
                     traffic.bytes == 1 ? "" : "s", traffic.requests,
                     traffic.requests == 1 ? "" : "s", traffic.round_trips,
                     traffic.round_trips == 1 ? "" : "s", traffic.seconds);
}

}  // namespace deadray
