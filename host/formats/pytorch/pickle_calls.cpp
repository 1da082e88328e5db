#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/pytorch/pickle_machine.h"

// What calls build, and what a pickle refers to outside itself.
namespace deadray {

bool PickleMachine::step_call(unsigned char operation) {
  switch (operation) {
    case 'c': {
      const std::string module(bytes_.take_line());
      const std::string name(bytes_.take_line());
      push(global(module, name));
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const PickleValue name = pop(), module = pop();
      if (!name.is(PickleKind::text) || !module.is(PickleKind::text))
        fail(fmt::format("a global called {} of {}", describe(name), describe(module)));
      push(global(bytes_.text(module.at, module.size), bytes_.text(name.at, name.size)));
      return true;
    }
    case 'R':
    case 0x81: {  // NEWOBJ
      const PickleValue arguments = pop(), function = pop();
      if (!function.is(PickleKind::global) || !arguments.is(PickleKind::tuple))
        fail(fmt::format("a call of {} with {}", describe(function), describe(arguments)));
      push(call(function.as_global(), arguments));
      return true;
    }
    case 'b': {
      const PickleValue state = pop();
      build(state);
      return true;
    }
    case 'Q': {
      const PickleValue id = pop();
      push(persistent(id));
      return true;
    }
    default:
      return false;
  }
}

PickleValue PickleMachine::global(std::string_view module, std::string_view name) {
  if (const PickleGlobal* known = find_pickle_global(module, name))
    return PickleValue::global(known);
  throw UnsupportedError(fmt::format(
      "{}: refused: its pickle calls {}; a file of weights needs tensors and dictionaries only: "
      "save the model's state_dict() alone",
      bytes_.file().path().string(), on_one_line(fmt::format("{}.{}", module, name), 200)));
}

std::int64_t PickleMachine::count_of(const PickleValue& value, std::string_view what) const {
  if (!value.is(PickleKind::integer) || value.as_integer() < 0)
    fail(fmt::format("has {} as {}, expected a number not below 0", describe(value), what));
  return value.as_integer();
}

void PickleMachine::require_counts(const PickleValue& value, std::string_view what) const {
  if (!value.is(PickleKind::tuple) && !value.is(PickleKind::list))
    fail(fmt::format("has {} as {}, expected a tuple", describe(value), what));
  // Looked through anew by every call: a pickle can name one long tuple in a few bytes.
  if (const std::size_t found = heap_.items_of(value).size(); found > kMostDimensions)
    fail(fmt::format("has {} with {} dimensions, expected at most {}", what, found,
                     kMostDimensions));
  for (const PickleValue& item : heap_.items_of(value)) count_of(item, what);
}

PickleValue PickleMachine::call(const PickleGlobal& function, const PickleValue& arguments,
                                bool typed) {
  const std::span<const PickleValue> given = heap_.items_of(arguments);
  const auto require = [&](std::size_t least) {
    if (given.size() < least)
      fail(fmt::format("calls {} with {} arguments, expected at least {}", function.name,
                       given.size(), least));
  };
  switch (function.call) {
    case PickleCall::ordered_dict:
      return make_dict(given);
    case PickleCall::tensor:
    case PickleCall::tensor_of_dtype:
    case PickleCall::quantised_tensor:
      return make_tensor(function, given);
    case PickleCall::sparse_tensor:
      return make_unreadable("sparse", nullptr);
    case PickleCall::nested_tensor:
      return make_unreadable("nested", nullptr);
    case PickleCall::meta_tensor:
      require(2);
      return make_unreadable("meta, stored without values", &given[1]);
    case PickleCall::wrapper_tensor:
      require(3);
      return make_unreadable("of a class of its own", &given[2]);
    case PickleCall::foreign_tensor:
      return make_unreadable("of a device, stored as a NumPy array", nullptr);
    case PickleCall::empty_tensor:
      return make_unreadable("without a storage", nullptr);
    case PickleCall::parameter:
    case PickleCall::device_tensor:
      if (given.empty()) return make_unreadable("without a storage", nullptr);
      if (!given[0].is(PickleKind::tensor))
        fail(fmt::format("makes a parameter of {}, expected a tensor", describe(given[0])));
      return given[0];
    case PickleCall::typed_tensor:
      require(3);
      // Once: arguments may hold the function itself, again and again.
      if (typed || !given[0].is(PickleKind::global) || !given[2].is(PickleKind::tuple))
        fail(fmt::format("rebuilds {} with {}", describe(given[0]), describe(given[2])));
      return call(given[0].as_global(), given[2], true);
    case PickleCall::size:
      require(1);
      require_counts(given[0], "a size");
      return given[0];
    case PickleCall::counter:
    case PickleCall::opaque:
      return {PickleKind::opaque};
    case PickleCall::none:
      break;
  }
  fail(fmt::format("calls {}, which is no function", function.name));
}

/// Empty, or of the pairs that Python 2 gives it.
PickleValue PickleMachine::make_dict(std::span<const PickleValue> arguments) {
  std::vector<PickleValue> items;
  if (!arguments.empty()) {
    const PickleValue pairs = arguments[0];
    spend(2 * heap_.items_of(pairs).size());
    for (const PickleValue& pair : heap_.items_of(pairs)) {
      const std::span<const PickleValue> parts = heap_.items_of(pair);
      if (parts.size() != 2)
        fail(fmt::format("makes an OrderedDict with {}, expected a pair", describe(pair)));
      items.insert(items.end(), parts.begin(), parts.end());
    }
  }
  const PickleValue dict = make_container(PickleKind::dict);
  heap_.containers[dict.at] = std::move(items);
  return dict;
}

PickleValue PickleMachine::make_tensor(const PickleGlobal& function,
                                       std::span<const PickleValue> arguments) {
  const bool has_dtype = function.call == PickleCall::tensor_of_dtype;
  if (arguments.size() < (has_dtype ? 7u : 4u))
    fail(fmt::format("calls {} with {} arguments", function.name, arguments.size()));
  if (!arguments[0].is(PickleKind::storage))
    fail(fmt::format("makes a tensor of {}, expected a storage", describe(arguments[0])));
  require_counts(arguments[2], "a size");
  require_counts(arguments[3], "strides");
  const PickledStorage& storage = heap_.storages[arguments[0].at];
  PickledTensor tensor{arguments[0].at, count_of(arguments[1], "an offset"), arguments[2],
                       arguments[3], storage.type};
  if (has_dtype) {
    if (!arguments[6].is(PickleKind::global) || arguments[6].as_global().element_bytes == 0)
      fail(fmt::format("makes a tensor of the type {}", describe(arguments[6])));
    tensor.type = &arguments[6].as_global();
  }
  // Its bits conj and neg: values are stored as another view had them.
  const std::size_t metadata = has_dtype ? 7 : 6;
  if (function.call == PickleCall::quantised_tensor)
    tensor.obstacle = "quantised";
  else if (arguments.size() > metadata && !heap_.items_of(arguments[metadata]).empty())
    tensor.obstacle = "a conjugate or negative view";
  spend(1);
  heap_.tensors.push_back(tensor);
  return {PickleKind::tensor, 0, heap_.tensors.size() - 1};
}

PickleValue PickleMachine::make_unreadable(const char* obstacle, const PickleValue* shape) {
  spend(1);
  PickledTensor tensor;
  tensor.obstacle = obstacle;
  if (shape) {
    require_counts(*shape, "a size");
    tensor.shape = *shape;
  }
  heap_.tensors.push_back(tensor);
  return {PickleKind::tensor, 0, heap_.tensors.size() - 1};
}

/// The state of an object: attributes, which are passed over, or an old tensor's storage.
void PickleMachine::build(const PickleValue& state) {
  const PickleValue object = top();
  if (object.is(PickleKind::dict) || object.is(PickleKind::opaque)) return;
  if (!object.is(PickleKind::tensor)) fail("sets the state of " + describe(object));
  const std::span<const PickleValue> given = heap_.items_of(state);
  if (!state.is(PickleKind::tuple) || given.size() != 4 || !given[0].is(PickleKind::storage))
    return;
  static constexpr PickleGlobal kSet{"torch.Tensor.set_", PickleCall::tensor};
  const PickleValue set = make_tensor(kSet, given);
  heap_.tensors[object.at] = heap_.tensors[set.at];
}

PickleValue PickleMachine::persistent(const PickleValue& id) {
  if (id.is(PickleKind::tuple)) return make_storage(heap_.items_of(id));
  if (objects_ != nullptr && (id.is(PickleKind::text) || id.is(PickleKind::integer))) {
    const std::string key = id.is(PickleKind::text) ? std::string(bytes_.text(id.at, id.size))
                                                    : fmt::format("{}", id.as_integer());
    const auto found = objects_->find(key);
    if (found != objects_->end()) return found->second;
  }
  fail(fmt::format("refers to {}, which the file does not hold", describe(id)));
}

/// ('storage', class, key, device, elements), and in a stream what it is a view of.
PickleValue PickleMachine::make_storage(std::span<const PickleValue> id) {
  const auto is_text = [&](std::size_t i) { return id[i].is(PickleKind::text); };
  if (id.size() < 5 || !is_text(0) || bytes_.text(id[0].at, id[0].size) != "storage" ||
      !is_text(2) || !id[1].is(PickleKind::global) || id[1].as_global().element_bytes == 0)
    fail("refers to something else than ('storage', class, key, device, elements)");
  PickledStorage storage{id[2], &id[1].as_global(), count_of(id[4], "a storage's elements")};
  if (id.size() > 5 && !id[5].is(PickleKind::none)) {
    const std::span<const PickleValue> view = heap_.items_of(id[5]);
    if (view.size() != 3) fail("has a view of a storage without (key, offset, elements)");
    const std::int64_t whole = storage.elements;
    storage.view_begin = count_of(view[1], "a view's offset");
    storage.elements = count_of(view[2], "a view's elements");
    if (storage.view_begin > whole || storage.elements > whole - storage.view_begin)
      fail(fmt::format("has a view of elements {} to {} + {} of a storage of {}",
                       storage.view_begin, storage.view_begin, storage.elements, whole));
  }
  spend(1);
  heap_.storages.push_back(storage);
  return {PickleKind::storage, 0, heap_.storages.size() - 1};
}

}  // namespace deadray
