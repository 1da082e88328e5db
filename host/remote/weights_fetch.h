#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/base/partial_file.h"
#include "host/remote/remote_file.h"

namespace deadray {

/// What the model is fetched for.
enum class Purpose { predict, census };

/// One file of weights, here and there.
struct WeightFile {
  std::filesystem::path path;          ///< as the readers open it
  std::unique_ptr<RemoteFile> remote;  ///< outlives the client's run()
  /// Once the first answer has told what the file is: where its bytes are kept.
  std::function<std::filesystem::path(const RemoteFile&)> place;
  /// Lets `path` lead there. Called once there are bytes.
  std::function<void(const std::filesystem::path& stored)> publish;
  /// Removes what is here of it: the server has sent nonsense.
  std::function<void()> forget;

  std::filesystem::path stored{};  ///< by place(); empty: nothing came in this run
  std::vector<Piece> pieces{};     ///< came, and are not stored yet
  std::size_t depth = 0;           ///< of the last answer
  std::size_t pending = 0;         ///< requests on their way
  int rounds = 0;
};

/// Fetches of a model's files what a prediction or a census reads, and nothing else: the files'
/// headers, then the norms of the model that they describe, neighbours together. What is here
/// already is not asked for. In the end the readers have read all of it.
class WeightsFetch {
 public:
  /// @param model      what the readers open: a folder, or a file in one
  /// @param catalogue  of model types, see PredictRequest
  WeightsFetch(std::filesystem::path model, Purpose purpose, std::filesystem::path catalogue);

  /// @param done  called when all is here. The client's run() does the rest.
  void start(std::vector<WeightFile> files, std::size_t depth, std::function<void()> done);

 private:
  void read_header(WeightFile& file);
  static bool is_not_here(const WeightFile& file);
  void ask_first(WeightFile& file);
  void ask(WeightFile& file, const std::vector<ByteRange>& ranges, std::function<void()> then);
  void take(WeightFile& file, Piece piece, std::size_t depth, const std::function<void()>& then);
  void store(WeightFile& file);
  void describe();
  std::vector<std::vector<ByteRange>> wanted_ranges();
  std::vector<std::vector<ByteRange>> wanted_by_names();
  bool ask_for(std::vector<std::vector<ByteRange>> wanted);
  void try_out();
  std::size_t number_of(const std::filesystem::path& path) const;

  std::filesystem::path model_;
  Purpose purpose_;
  std::filesystem::path catalogue_;
  std::vector<WeightFile> files_;
  std::function<void()> done_;
  std::size_t unread_ = 0;     ///< headers
  int rounds_ = 0;             ///< of describe()
  bool is_described_ = false;  ///< what the norms take was asked for
};

}  // namespace deadray
