#include "host/formats/pytorch/pickle_machine.h"

#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/formats/damaged.h"

namespace deadray {
namespace {

constexpr std::size_t kDeepestStack = 4'000'000;
constexpr std::uint64_t kMostRemembered = 4'000'000;
constexpr std::uint64_t kMostValues = 16'000'000;
constexpr unsigned char kStop = '.';
/// Operations of any protocol that a machine for weights does without.
constexpr std::string_view kOthers = "FILSVPdgilop\x82\x83\x84\x92\x97\x98";

}  // namespace

PickleMachine::PickleMachine(PickleBytes& bytes, PickleHeap& heap, const PickledObjects* objects)
    : bytes_(bytes), heap_(heap), objects_(objects) {}

PickleValue PickleMachine::load() {
  begin_ = bytes_.at();
  for (;;) {
    operation_ = bytes_.at();
    const auto operation = static_cast<unsigned char>(bytes_.take(1)[0]);
    if (operation == kStop) return pop();
    step(operation);
  }
}

void PickleMachine::step(unsigned char operation) {
  if (step_value(operation) || step_container(operation) || step_memo(operation) ||
      step_call(operation))
    return;
  const bool printable = operation > ' ' && operation < 0x7f,
             is_pickle = kOthers.find(static_cast<char>(operation)) != kOthers.npos;
  const std::string name = printable ? fmt::format("'{}'", static_cast<char>(operation))
                                     : fmt::format("0x{:02x}", operation);
  if (!is_pickle) fail(fmt::format("has {}, which is no operation", name));
  refuse(fmt::format("has operation {}, which pickles of weights do not use", name));
}

bool PickleMachine::step_container(unsigned char operation) {
  switch (operation) {
    case '(':
      if (marks_.size() == kDeepestStack) fail("marks nested too deep");
      marks_.push_back(stack_.size());
      return true;
    case ')':
      push(make_tuple(0));
      return true;
    case 0x85:
    case 0x86:
    case 0x87:
      push(make_tuple(operation - std::size_t{0x84}));
      return true;
    case 't': {
      if (marks_.empty()) fail("a mark is missing");
      const std::size_t mark = marks_.back();
      marks_.pop_back();
      push(make_tuple(stack_.size() - mark));
      return true;
    }
    case ']':
      push(make_container(PickleKind::list));
      return true;
    case '}':
      push(make_container(PickleKind::dict));
      return true;
    case 0x8f:  // EMPTY_SET
      push({PickleKind::opaque});
      return true;
    case 0x90:  // ADDITEMS
      pop_to_mark();
      if (!top().is(PickleKind::opaque)) fail("items are added to " + describe(top()));
      return true;
    case 0x91:  // FROZENSET
      pop_to_mark();
      push({PickleKind::opaque});
      return true;
    case 'a': {
      const PickleValue item = pop();
      append(top(), PickleKind::list, {item});
      return true;
    }
    case 'e': {
      std::vector<PickleValue> items = pop_to_mark();
      append(top(), PickleKind::list, std::move(items));
      return true;
    }
    case 's': {
      const PickleValue value = pop(), key = pop();
      append(top(), PickleKind::dict, {key, value});
      return true;
    }
    case 'u': {
      std::vector<PickleValue> items = pop_to_mark();
      if (items.size() % 2 != 0) fail("a key without a value");
      append(top(), PickleKind::dict, std::move(items));
      return true;
    }
    default:
      return false;
  }
}

bool PickleMachine::step_memo(unsigned char operation) {
  switch (operation) {
    case '0':
      pop();
      return true;
    case '1':
      pop_to_mark();
      return true;
    case '2':
      push(top());
      return true;
    case 'h':
      recall(number<std::uint8_t>());
      return true;
    case 'j':
      recall(number<std::uint32_t>());
      return true;
    case 'q':
      remember(number<std::uint8_t>());
      return true;
    case 'r':
      remember(number<std::uint32_t>());
      return true;
    case 0x94:  // MEMOIZE
      remember(memo_.size());
      return true;
    default:
      return false;
  }
}

void PickleMachine::push(PickleValue value) {
  if (stack_.size() == kDeepestStack)
    fail(fmt::format("more than {} values wait on its stack", kDeepestStack));
  stack_.push_back(value);
}

PickleValue& PickleMachine::top() {
  if (stack_.size() == (marks_.empty() ? 0 : marks_.back())) fail("a value is missing");
  return stack_.back();
}

PickleValue PickleMachine::pop() {
  const PickleValue value = top();
  stack_.pop_back();
  return value;
}

std::vector<PickleValue> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("a mark is missing");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleValue> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

PickleValue PickleMachine::make_tuple(std::size_t count) {
  if (stack_.size() - (marks_.empty() ? 0 : marks_.back()) < count) fail("a value is missing");
  spend(count);
  const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
  const PickleValue tuple{PickleKind::tuple, static_cast<std::uint32_t>(count), heap_.items.size()};
  heap_.items.insert(heap_.items.end(), first, stack_.end());
  stack_.erase(first, stack_.end());
  return tuple;
}

PickleValue PickleMachine::make_container(PickleKind kind) {
  spend(1);
  heap_.containers.emplace_back();
  return {kind, 0, heap_.containers.size() - 1};
}

void PickleMachine::append(const PickleValue& container, PickleKind kind,
                           std::vector<PickleValue> items) {
  if (!container.is(kind))
    fail(fmt::format("items of a {} are added to {}", kind == PickleKind::list ? "list" : "dict",
                     describe(container)));
  spend(items.size());
  std::vector<PickleValue>& held = heap_.containers[container.at];
  if (held.empty())
    held = std::move(items);
  else
    held.insert(held.end(), items.begin(), items.end());
}

/// A pickler numbers what it remembers one by one, so that no number is larger than its pickle.
void PickleMachine::remember(std::uint64_t index) {
  if (index > operation_ - begin_)
    fail(fmt::format("remembers a value under number {} after {} bytes", index,
                     operation_ - begin_));
  if (index >= kMostRemembered) fail(fmt::format("remembers more than {} values", kMostRemembered));
  if (index >= memo_.size()) memo_.resize(index + 1, {PickleKind::none, 1, 0});
  memo_[index] = top();
}

void PickleMachine::recall(std::uint64_t index) {
  // None of size 1: never remembered.
  if (index >= memo_.size() || (memo_[index].is(PickleKind::none) && memo_[index].size == 1))
    fail(fmt::format("recalls value number {}, which it never remembered", index));
  push(memo_[index]);
}

/// Picklers copy nothing, but for pairs of an ordered dictionary, once.
void PickleMachine::spend(std::uint64_t values) {
  spent_ += values;
  if (spent_ > 2 * (bytes_.at() - begin_) || spent_ > kMostValues)
    fail(fmt::format("builds more than {} values in {} bytes", spent_, bytes_.at() - begin_));
}

std::string PickleMachine::describe(const PickleValue& value) const {
  return describe_pickled(value, heap_, bytes_);
}

std::string PickleMachine::where() const {
  return fmt::format("{}: pickle: byte {}", bytes_.file().path().string(),
                     bytes_.place() - bytes_.at() + operation_);
}

void PickleMachine::fail(std::string_view problem) const {
  throw MalformedError(fmt::format("{} {}: {}", where(), problem, kDamaged));
}

void PickleMachine::refuse(std::string_view what) const {
  throw UnsupportedError(
      fmt::format("{} {}: save the model's state_dict() with torch.save()", where(), what));
}

}  // namespace deadray
