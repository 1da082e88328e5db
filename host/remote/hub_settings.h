#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace deadray {

/// What the environment says of the hub, under the names that the hub's own tools read.
struct HubSettings {
  std::string endpoint;  ///< HF_ENDPOINT, without a "/" at its end
  /// HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or the token file; empty: none. Goes to the endpoint alone,
  /// and into no text.
  std::string token;
  bool offline = false;  ///< HF_HUB_OFFLINE
  /// To connect, and without a byte of what describes files. HF_HUB_ETAG_TIMEOUT
  std::chrono::milliseconds metadata_timeout{10'000};
  /// Without a byte of a file. HF_HUB_DOWNLOAD_TIMEOUT
  std::chrono::milliseconds data_timeout{10'000};
  /// A file of certificates, or a folder: REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE,
  /// SSL_CERT_DIR. Empty: the system's own.
  std::string certificates;
};

/// @throws UsageError naming the variable that holds what nothing can be done with
HubSettings read_hub_settings();

/// The endpoint as messages and records show it: without what may be secret.
std::string shown_endpoint(const HubSettings& settings);

/// Where deadray keeps what it fetched of models: $DEADRAY_CACHE, else deadray below
/// $XDG_CACHE_HOME or ~/.cache.
std::filesystem::path deadray_cache();

}  // namespace deadray
