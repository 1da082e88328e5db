#include "host/remote/repository_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <system_error>

#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/base/input_file.h"
#include "host/base/partial_file.h"
#include "host/remote/model_name.h"
#include "host/remote/remote_file.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

/// The blob of all files of which nothing was fetched.
constexpr const char* kPlaceholder = "placeholder";

[[noreturn]] void fail(const fs::path& path, const char* doing, const std::error_code& error) {
  throw ResourceError(fmt::format("{}: {}: {}; DEADRAY_CACHE names another folder for the cache",
                                  path.string(), doing, error.message()));
}

std::string chance_name() {
  std::random_device chance;
  return fmt::format(".deadray-{:08x}{:08x}", chance(), chance());
}

bool is_safe_name(std::string_view name) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 128 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), is_plain);
}

void make_link(const fs::path& target, const fs::path& link) {
  const fs::path working = link.parent_path() / chance_name();
  std::error_code error;
  fs::create_symlink(target, working, error);
  if (error) fail(link, "cannot make a link there", error);
  fs::rename(working, link, error);
  if (!error) return;
  std::error_code ignored;
  fs::remove(working, ignored);
  fail(link, "cannot make a link there", error);
}

}  // namespace

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(folder, "cannot make the folder", error);
}

fs::path link_target(const std::string& file, const std::string& blob) {
  fs::path target = "../..";
  const auto depth = std::count(file.begin(), file.end(), '/');
  for (std::ptrdiff_t i = 0; i < depth; ++i) target /= "..";
  return target / "blobs" / blob;
}

std::string short_hash(std::string_view text) {
  // FNV-1a, twice.
  std::uint64_t a = 0xcbf29ce484222325, b = 0x84222325cbf29ce4;
  for (const char c : text) {
    a = (a ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    b = (b ^ static_cast<unsigned char>(c) ^ 0x55) * 0x100000001b3;
  }
  return fmt::format("{:016x}{:016x}", a, b);
}

std::string blob_name(const FileTag& tag, std::string_view commit, std::string_view file) {
  const std::string etag = plain_etag(tag.etag);
  const bool is_safe = is_safe_name(etag);
  if (is_safe && tag.is_of_content) return etag;
  const std::string rest = short_hash(fmt::format("{}\n{}\n{}", etag, commit, file));
  return is_safe ? fmt::format("{}-{}", etag, rest) : rest;
}

RepositoryCache::RepositoryCache(const fs::path& cache, const std::string& repository) {
  std::string name = repository;
  if (const std::size_t slash = name.find('/'); slash != name.npos) name.replace(slash, 1, "--");
  folder_ = cache / ("models--" + name);
}

fs::path RepositoryCache::snapshot(const std::string& commit) const {
  return folder_ / "snapshots" / commit;
}

bool RepositoryCache::has_snapshot(const std::string& commit) const {
  std::error_code ignored;
  return fs::is_directory(snapshot(commit), ignored);
}

std::optional<std::string> RepositoryCache::commit_of(const std::string& revision) const {
  if (is_commit(revision) && has_snapshot(revision)) return revision;
  const fs::path file = folder_ / "refs" / revision;
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return std::nullopt;
  std::string commit = read_text_file(file, 1000);
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back())))
    commit.pop_back();
  return is_commit(commit) && has_snapshot(commit) ? std::optional(commit) : std::nullopt;
}

void RepositoryCache::remember(const std::string& revision, const std::string& commit) const {
  if (commit_of(revision) == commit) return;
  const fs::path file = folder_ / "refs" / revision;
  make_folders(file.parent_path());
  write_file_atomically(file, commit, Flush::none);
}

void RepositoryCache::make_snapshot(const std::string& commit,
                                    const std::map<std::string, SmallFile>& small,
                                    const std::vector<std::string>& placeholders) const {
  make_folders(folder_ / "blobs");
  make_folders(folder_ / "snapshots");
  const fs::path working = folder_ / "snapshots" / chance_name();
  make_folders(working);
  try {
    for (const auto& [name, content] : small) {
      write_file_atomically(blob(content.blob), content.text, Flush::none);
      make_folders((working / name).parent_path());
      make_link(link_target(name, content.blob), working / name);
    }
    std::error_code ignored;
    if (!placeholders.empty() && !fs::exists(blob(kPlaceholder), ignored))
      write_partial_file(blob(kPlaceholder), {}, {});
    for (const std::string& name : placeholders) {
      make_folders((working / name).parent_path());
      make_link(link_target(name, kPlaceholder), working / name);
    }
    std::error_code error;
    fs::rename(working, snapshot(commit), error);
    if (error && !has_snapshot(commit)) fail(snapshot(commit), "cannot be made", error);
    if (error) fs::remove_all(working, error);  // another process was faster
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(working, ignored);
    throw;
  }
}

void RepositoryCache::remove_snapshot(const std::string& commit) const {
  std::error_code ignored;
  fs::remove_all(snapshot(commit), ignored);
}

void RepositoryCache::forget(const std::string& commit, const std::string& file) const {
  std::error_code ignored;
  const fs::path place = snapshot(commit) / file;
  if (const fs::path target = fs::canonical(place, ignored); !ignored) fs::remove(target, ignored);
  if (!fs::exists(blob(kPlaceholder), ignored)) write_partial_file(blob(kPlaceholder), {}, {});
  make_link(link_target(file, kPlaceholder), place);
}

void RepositoryCache::link(const std::string& commit, const std::string& file,
                           const std::string& blob) const {
  make_link(link_target(file, blob), snapshot(commit) / file);
}

}  // namespace deadray
