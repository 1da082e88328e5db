#include "host/formats/safetensors_parser.h"

#include <limits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json/json_events.h"
#include "host/base/json_text.h"

namespace deadray {
namespace {

constexpr int kMaxDepth = 16;

enum class Field { other, dtype, shape, data_offsets };

/// Receives the events of read_json_events(); throws at the first thing that is wrong.
class HeaderHandler {
 public:
  HeaderHandler(std::string_view json, const std::filesystem::path& file, std::uint64_t data_bytes,
                std::size_t file_index)
      : json_(json), file_(file), data_bytes_(data_bytes), file_index_(file_index) {}

  ContainerHeader take() { return std::move(header_); }

  void null() { ignore("null"); }
  void boolean(bool value) { ignore(value ? "true" : "false"); }
  void number(std::string_view spelling) { ignore(on_one_line(spelling, 40)); }

  void natural(std::uint64_t value) {
    if (ignored()) return;
    if (depth_ != 3) complain(fmt::format("{}", value));
    if (field_ == Field::data_offsets) {
      if (n_offsets_ == 2) complain("a third number");
      (n_offsets_++ == 0 ? offsets_.first : offsets_.second) = value;
    } else {
      add_dimension(value);
    }
  }

  void string(std::string_view value) {
    if (ignored()) return;
    if (depth_ == 2 && in_metadata_) {
      if (!header_.metadata.emplace(key_, value).second)
        fail(fmt::format("duplicate key {}", in_quotes(key_)));
    } else if (depth_ == 2 && field_ == Field::dtype) {
      tensor_.dtype = value == to_string(DType::unknown) ? DType::unknown : parse_dtype(value);
      tensor_.stored_dtype = value;
    } else {
      complain(in_quotes(value));
    }
  }

  void key(std::string_view name) {
    if (depth_ == 1) {
      begin_entry(name);
    } else if (depth_ == 2 && in_metadata_) {
      key_ = name;
    } else if (depth_ == 2) {
      field_ = name == "dtype"          ? Field::dtype
               : name == "shape"        ? Field::shape
               : name == "data_offsets" ? Field::data_offsets
                                        : Field::other;
      const unsigned bit = 1u << static_cast<unsigned>(field_);
      if (field_ != Field::other && (seen_ & bit))
        fail(fmt::format("duplicate field {}", in_quotes(name)));
      seen_ |= bit;
    }
  }

  void begin_object() {
    if (depth_ >= 2 && !ignored()) complain("an object");
    descend();
  }

  void end_object() {
    if (--depth_ == 1 && !in_metadata_) end_tensor();
  }

  void begin_array() {
    const bool list =
        depth_ == 2 && !in_metadata_ && (field_ == Field::shape || field_ == Field::data_offsets);
    if (!list && !ignored()) complain("an array");
    descend();
  }

  void end_array() {
    --depth_;
    if (depth_ == 2 && !in_metadata_ && field_ == Field::data_offsets && n_offsets_ != 2)
      complain(fmt::format("{} numbers", n_offsets_));
  }

 private:
  void begin_entry(std::string_view name) {
    in_metadata_ = name == "__metadata__";
    if (in_metadata_ && std::exchange(had_metadata_, true))
      throw MalformedError(fmt::format("{}: duplicate key '__metadata__'", file_.string()));
    tensor_ = TensorInfo{};
    tensor_.name = name;
    tensor_.file = file_index_;
    elements_ = 1;
    n_offsets_ = 0;
    seen_ = 0;
    field_ = Field::other;
  }

  void add_dimension(std::uint64_t value) {
    tensor_.shape.push_back(static_cast<std::int64_t>(value));
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ||
        __builtin_mul_overflow(elements_, static_cast<std::int64_t>(value), &elements_))
      fail(fmt::format("shape [{}…] overflows: more than 2^63 - 1 elements",
                       fmt::join(tensor_.shape, ",")));
  }

  void end_tensor() {
    for (const auto& [field, name] : {std::pair{Field::dtype, "dtype"},
                                      {Field::shape, "shape"},
                                      {Field::data_offsets, "data_offsets"}})
      if (!(seen_ & 1u << static_cast<unsigned>(field)))
        fail(fmt::format("field '{}' is missing", name));
    const auto [begin, end] = offsets_;
    if (begin > end)
      fail(fmt::format("field 'data_offsets' begins at {} and ends before, at {}", begin, end));
    if (end > data_bytes_)
      fail(fmt::format(
          "its data end at byte {} of the data, the file has {}: truncated, fetch it again", end,
          data_bytes_));
    tensor_.offset = kLengthBytes + json_.size() + begin;
    tensor_.bytes = end - begin;
    std::uint64_t expected = 0;
    if (tensor_.dtype != DType::unknown) {
      const bool overflows = __builtin_mul_overflow(static_cast<std::uint64_t>(elements_),
                                                    size_of(tensor_.dtype), &expected);
      if (overflows || expected != tensor_.bytes)
        fail(fmt::format("data_offsets span {} bytes, but shape [{}] of {} takes {}", tensor_.bytes,
                         fmt::join(tensor_.shape, ","), tensor_.stored_dtype,
                         overflows ? "more than 2^64" : fmt::format("{}", expected)));
    }
    header_.tensors.push_back(std::move(tensor_));
  }

  void descend() {
    if (depth_ == kMaxDepth) fail(fmt::format("nested deeper than {} levels", kMaxDepth));
    ++depth_;
  }

  /// Inside a field that safetensors does not define.
  bool ignored() const { return depth_ >= 2 && !in_metadata_ && field_ == Field::other; }
  /// A value of a type that no field has: passed over in a foreign field, else refused.
  void ignore(std::string_view found) const {
    if (!ignored()) complain(found);
  }

  [[noreturn]] void complain(std::string_view found) const {
    if (depth_ < 1)
      throw MalformedError(
          fmt::format("{}: header is {}, expected a JSON object", file_.string(), found));
    if (depth_ == 1)
      fail(fmt::format("is {}, expected an object{}", found,
                       in_metadata_ ? "" : " with dtype, shape and data_offsets"));
    if (in_metadata_) fail(fmt::format("key {} is {}, expected a string", in_quotes(key_), found));
    if (field_ == Field::dtype) fail(fmt::format("field 'dtype' is {}, expected a string", found));
    const bool shape = field_ == Field::shape;
    fail(fmt::format("field '{}' {} {}, expected {}", shape ? "shape" : "data_offsets",
                     depth_ == 2 ? "is" : "holds", found,
                     shape ? "a list of non-negative integers" : "[begin, end]"));
  }

  [[noreturn]] void fail(std::string_view problem) const {
    if (in_metadata_)
      throw MalformedError(fmt::format("{}: __metadata__: {}", file_.string(), problem));
    throw MalformedError(
        fmt::format("{}: tensor {}: {}", file_.string(), in_quotes(tensor_.name), problem));
  }

  std::string_view json_;
  const std::filesystem::path& file_;
  std::uint64_t data_bytes_;
  std::size_t file_index_;
  ContainerHeader header_;

  int depth_ = 0;  // 1 inside the header, 2 inside an entry, 3 inside its shape or data_offsets
  bool in_metadata_ = false, had_metadata_ = false;
  std::string key_;  // of the metadata
  TensorInfo tensor_;
  Field field_ = Field::other;
  unsigned seen_ = 0;  // bit per Field
  std::int64_t elements_ = 1;
  std::pair<std::uint64_t, std::uint64_t> offsets_;
  std::size_t n_offsets_ = 0;
};

}  // namespace

ContainerHeader parse_safetensors_header(std::string_view json, const std::filesystem::path& file,
                                         std::uint64_t data_bytes, std::size_t file_index) {
  HeaderHandler handler(json, file, data_bytes, file_index);
  if (!read_json_events(json, handler))
    throw MalformedError(
        fmt::format("{}: header is {}", file.string(), explain_json_error(json, kLengthBytes)));
  return handler.take();
}

}  // namespace deadray
