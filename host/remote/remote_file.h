#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "host/base/partial_file.h"
#include "host/remote/http_client.h"
#include "host/remote/response_errors.h"

namespace deadray {

/// Which content of a file it is, by the first answer.
struct FileTag {
  std::string etag;  ///< as the server wrote it: that of what the hub links to, else the file's own
  /// It is a hash of the content: linked to, or 40 or 64 hexadecimal digits. Others, of time and
  /// size say, are unique for one name alone.
  bool is_of_content = false;
};
FileTag file_tag(const HttpHeaders& first);

/// One file of a server, of which parts are read. All parts must be of one content: size, ETag and
/// the repository's commit are compared with each answer. Where the server sends us on to another
/// one, later parts are asked for there, and from the first one anew where that has run out.
class RemoteFile {
 public:
  /// @param depth  of the answer that the piece came with
  using Received = std::function<void(Piece piece, std::size_t depth)>;

  /// @param commit  that X-Repo-Commit must name where it comes; empty: any
  RemoteFile(HttpClient& client, std::string url, AskedFor asked, std::string commit = {});
  RemoteFile(const RemoteFile&) = delete;
  RemoteFile& operator=(const RemoteFile&) = delete;

  /// Of a range that ends after the file the part in it.
  /// @param depth  of the answer that told the range; 0: none
  void read(ByteRange range, std::size_t depth, Received received);
  void read_end(std::uint64_t count, std::size_t depth, Received received);
  /// The first part, asked for only where the file is another one than that with this ETag.
  /// @param unchanged  gets the depth of an answer that it is the same
  void read_if_other(ByteRange range, const std::string& etag, Received received,
                     std::function<void(std::size_t depth)> unchanged);

  // Known with the first answer.
  const std::optional<std::uint64_t>& size() const noexcept { return size_; }
  const FileTag& tag() const noexcept { return tag_; }
  const std::string& name() const noexcept { return asked_.file; }
  std::string what() const;  ///< for messages
  std::string shown_url() const;

 private:
  void send(HttpRequest request, std::size_t depth, Received received,
            std::function<void(std::size_t)> unchanged = {});
  void take(const HttpRequest& request, HttpResponse& response, const Received& received);
  Piece piece_of(const HttpRequest& request, HttpResponse& response);
  void hold_to(const HttpRequest& request, const HttpResponse& response, std::uint64_t size);
  [[noreturn]] void refuse_changed() const;

  HttpClient& client_;
  std::string url_, final_url_;
  AskedFor asked_;
  std::string commit_, final_etag_;
  FileTag tag_;
  std::optional<std::uint64_t> size_;
};

}  // namespace deadray
