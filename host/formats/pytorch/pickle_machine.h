#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/elements/number_at.h"
#include "host/formats/pytorch/pickle_bytes.h"
#include "host/formats/pytorch/pickle_value.h"

namespace deadray {

/// What a tar archive's pickle refers to by number.
using PickledObjects = std::map<std::string, PickleValue, std::less<>>;

/// Runs the operations of a pickle that dictionaries of tensors consist of (protocols 2 to 5). It
/// executes nothing: globals are entries of a closed list, calls build plain data. Values are
/// bounded by the pickle's own length, so that shared references cannot blow up.
class PickleMachine {
 public:
  /// @param heap     gains what is built
  /// @param objects  see PickledObjects; null: none
  PickleMachine(PickleBytes& bytes, PickleHeap& heap, const PickledObjects* objects = nullptr);

  /// Reads one pickle, to its end.
  /// @throws MalformedError   damaged
  /// @throws UnsupportedError a global outside the list, which is named, or another operation
  PickleValue load();

 private:
  void step(unsigned char operation);
  bool step_value(unsigned char operation);
  bool step_container(unsigned char operation);
  bool step_memo(unsigned char operation);
  bool step_call(unsigned char operation);

  void push(PickleValue value);
  PickleValue pop();
  PickleValue& top();
  std::vector<PickleValue> pop_to_mark();
  PickleValue make_tuple(std::size_t count);
  PickleValue make_container(PickleKind kind);
  void append(const PickleValue& container, PickleKind kind, std::vector<PickleValue> items);
  void remember(std::uint64_t index);
  void recall(std::uint64_t index);
  void spend(std::uint64_t values);

  template <typename T>
  T number() {
    return number_at<T>(bytes_.take(sizeof(T)));
  }
  PickleValue text(PickleKind kind, std::uint64_t size);
  PickleValue long_integer(std::uint64_t size);
  PickleValue global(std::string_view module, std::string_view name);

  // Calls, in pickle_calls.cpp.
  PickleValue call(const PickleGlobal& function, const PickleValue& arguments, bool typed = false);
  PickleValue make_dict(std::span<const PickleValue> arguments);
  PickleValue make_tensor(const PickleGlobal& function, std::span<const PickleValue> arguments);
  PickleValue make_unreadable(const char* obstacle, const PickleValue* shape);
  void build(const PickleValue& state);
  PickleValue persistent(const PickleValue& id);
  PickleValue make_storage(std::span<const PickleValue> id);
  std::int64_t count_of(const PickleValue& value, std::string_view what) const;
  void require_counts(const PickleValue& value, std::string_view what) const;

  std::string describe(const PickleValue& value) const;
  /// Of a damaged pickle.
  [[noreturn]] void fail(std::string_view problem) const;
  /// Of one that is sound and holds something else than weights.
  [[noreturn]] void refuse(std::string_view what) const;
  std::string where() const;  ///< the file, and the operation's byte

  PickleBytes& bytes_;
  PickleHeap& heap_;
  const PickledObjects* objects_;
  std::vector<PickleValue> stack_, memo_;
  std::vector<std::size_t> marks_;
  std::uint64_t begin_ = 0, operation_ = 0;  ///< of this pickle and operation, as bytes_.at()
  std::uint64_t spent_ = 0;
};

/// "text 'abc'", "a tuple of 3": a value as a message shows it.
std::string describe_pickled(const PickleValue& value, const PickleHeap& heap,
                             const PickleBytes& bytes);

}  // namespace deadray
