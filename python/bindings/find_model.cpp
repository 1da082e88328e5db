#include "python/bindings/find_model.h"

#include <fmt/format.h>

#include <system_error>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/hub_cache.h"

namespace deadray {

std::filesystem::path find_model(const std::string& given) {
  std::error_code ignored;
  if (given.empty() || std::filesystem::exists(given, ignored)) return given;
  const std::size_t at = given.rfind('@');
  const std::string name = given.substr(0, at),
                    revision = at == given.npos ? "" : given.substr(at + 1);
  const CachedModel cached = find_cached_model(hub_cache(), name, revision);
  if (!cached.folder.empty()) return cached.folder;
  if (cached.commit.empty() && revision.empty()) return given;
  throw CodedError<ExitCode::network>(fmt::format("{}: {}; `{}` fetches it", in_quotes(given),
                                                  cached.missing,
                                                  download_command(name, revision)));
}

}  // namespace deadray
