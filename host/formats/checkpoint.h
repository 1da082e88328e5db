#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/container.h"

namespace deadray {

class InputFile;

/// Reads the header of a file of any ContainerFormat, which its first bytes tell: names lie.
/// @throws as the format's reader does
ContainerHeader read_container_header(const InputFile& file, const CheckpointOptions& options,
                                      std::size_t file_index);

/// Tensors that somebody else holds, in the order of safetensors' bytes.
struct HeldTensors {
  std::filesystem::path name;  ///< what messages call the model
  /// Names, dtypes and shapes, in any order; names are unique. `offset` is the holder's own number.
  std::vector<TensorInfo> tensors;
  /// As Checkpoint::read(). A tensor may have lost a wrapper's prefix: its offset tells which it
  /// is.
  std::function<void(const TensorInfo&, std::int64_t first, std::int64_t count, void* destination)>
      read;
};

/// Named tensors of one model, read on demand. It opens a file of any ContainerFormat, the index of
/// a sharded set, or a folder that holds one of these, see find_weights(). Files are read with
/// pread and never mapped: a file that is truncated meanwhile is an error, not a SIGBUS.
class Checkpoint {
 public:
  /// Reads and checks all headers, no values. Names lose what wrappers put there, see
  /// wrapped_names.h.
  /// @throws MalformedError   a damaged or contradictory file; names file, tensor and byte
  /// @throws UnsupportedError no weights that deadray reads; says what was found and what to do
  static Checkpoint open(const std::filesystem::path& model, const CheckpointOptions& options = {});

  /// The same of a model that is in memory. It has one file, which is its name.
  static Checkpoint hold(HeldTensors held);

  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  const std::filesystem::path& path() const noexcept;  ///< what open() was given
  const std::vector<std::filesystem::path>& files() const noexcept;
  const std::vector<TensorInfo>& tensors() const noexcept;  ///< in order of name
  /// What the user should know although it is no error.
  const std::vector<std::string>& notes() const noexcept;
  std::uint64_t header_bytes() const noexcept;  ///< bytes read to open it
  ContainerFormat format() const noexcept;
  /// What the container says beside its tensors, all files together; of GGUF every key, as JSON.
  const std::map<std::string, std::string>& metadata() const noexcept;

  /// Takes a prefix off the names that begin with it: a wrapper that only who knows the model's own
  /// names can tell. @return false, and nothing done, where two tensors would then have one name
  bool take_off(std::string_view prefix);

  /// The same values under other names, in another order, in parts: what a converter did is undone.
  /// @param tensors  any order, of this checkpoint's files; names are unique
  void take_as(std::vector<TensorInfo> tensors);

  const TensorInfo* find(std::string_view name) const noexcept;  ///< nullptr when absent
  /// @throws MalformedError naming the tensor, the checkpoint and near names
  const TensorInfo& at(std::string_view name) const;

  /// Reads elements [first, first + count) as dtype says; `destination` takes count *
  /// size_of(dtype) bytes. Thread-safe. Then checks that the file is still what was opened.
  /// @throws MalformedError when the file ends early or has changed; UnsupportedError for an
  /// unknown dtype
  void read(const TensorInfo& tensor, std::int64_t first, std::int64_t count,
            void* destination) const;
  void read(const TensorInfo& tensor, void* destination) const {
    read(tensor, 0, tensor.elements(), destination);
  }
  /// Runs `reading`, whose many short reads are checked together at its end.
  /// @throws what `reading` throws; MalformedError before that where a file has changed
  void read_together(const std::function<void()>& reading) const;
  /// Lets the system read the tensor ahead; returns at once.
  void will_need(const TensorInfo& tensor) const noexcept;
  /// @throws UnsupportedError naming file and tensor, unless it is stored as F64, F32, F16 or BF16
  void require_plain_float(const TensorInfo& tensor) const;
  /// Elements [first, first + count), widened to FP64.
  /// @throws as require_plain_float() and read() do
  std::vector<double> read_fp64(const TensorInfo& tensor, std::int64_t first,
                                std::int64_t count) const;
  std::vector<double> read_fp64(const TensorInfo& tensor) const {
    return read_fp64(tensor, 0, tensor.elements());
  }

 private:
  struct State;
  explicit Checkpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace deadray
