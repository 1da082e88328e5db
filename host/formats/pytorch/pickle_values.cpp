#include <cstring>
#include <string>

#include <fmt/format.h>

#include "host/base/in_quotes.h"
#include "host/formats/pytorch/pickle_machine.h"

// Values without parts, and how messages show a value.
namespace deadray {

/// Numbers, text and what else has no parts.
bool PickleMachine::step_value(unsigned char operation) {
  switch (operation) {
    case 0x80:  // PROTO
      if (const int protocol = number<std::uint8_t>(); protocol < 2 || protocol > 5)
        refuse(fmt::format("has protocol {}, expected 2 to 5", protocol));
      return true;
    case 0x95:  // FRAME: how much to read ahead
      bytes_.take(8);
      return true;
    case 'N':
      push({});
      return true;
    case 0x88:
    case 0x89:
      push({PickleKind::boolean, 0, operation == 0x88});
      return true;
    case 'J':
      push(PickleValue::integer(number<std::int32_t>()));
      return true;
    case 'K':
      push(PickleValue::integer(number<std::uint8_t>()));
      return true;
    case 'M':
      push(PickleValue::integer(number<std::uint16_t>()));
      return true;
    case 0x8a:
      push(long_integer(number<std::uint8_t>()));
      return true;
    case 0x8b:
      push(long_integer(number<std::uint32_t>()));
      return true;
    case 'G':
      push({PickleKind::real, 0, number<std::uint64_t>()});
      return true;
    case 'X':
    case 'T':  // Python 2's strings
      push(text(PickleKind::text, number<std::uint32_t>()));
      return true;
    case 0x8c:
    case 'U':
      push(text(PickleKind::text, number<std::uint8_t>()));
      return true;
    case 0x8d:
      push(text(PickleKind::text, number<std::uint64_t>()));
      return true;
    case 'B':
      push(text(PickleKind::bytes, number<std::uint32_t>()));
      return true;
    case 'C':
      push(text(PickleKind::bytes, number<std::uint8_t>()));
      return true;
    case 0x8e:
    case 0x96:  // BYTEARRAY8
      push(text(PickleKind::bytes, number<std::uint64_t>()));
      return true;
    default:
      return false;
  }
}

PickleValue PickleMachine::text(PickleKind kind, std::uint64_t size) {
  const std::uint64_t at = bytes_.at();
  bytes_.take(size);
  if (size > 0xffffffffU) fail(fmt::format("a text of {} bytes", size));
  return {kind, static_cast<std::uint32_t>(size), at};
}

PickleValue PickleMachine::long_integer(std::uint64_t size) {
  const PickleValue stored = text(PickleKind::long_integer, size);
  if (size > 8) return stored;
  const std::string_view bytes = bytes_.text(stored.at, size);
  std::uint64_t value = size > 0 && (bytes.back() & 0x80) ? ~std::uint64_t{0} : 0;
  std::memcpy(&value, bytes.data(), size);
  return PickleValue::integer(static_cast<std::int64_t>(value));
}

std::string describe_pickled(const PickleValue& value, const PickleHeap& heap,
                             const PickleBytes& bytes) {
  switch (value.kind) {
    case PickleKind::none:
      return "None";
    case PickleKind::boolean:
      return value.at ? "True" : "False";
    case PickleKind::integer:
      return fmt::format("the number {}", value.as_integer());
    case PickleKind::long_integer:
    case PickleKind::real:
      return "a number";
    case PickleKind::text:
      return "the text " + in_quotes(bytes.text(value.at, value.size));
    case PickleKind::bytes:
      return fmt::format("{} bytes", value.size);
    case PickleKind::tuple:
      return fmt::format("a tuple of {}", value.size);
    case PickleKind::list:
      return fmt::format("a list of {}", heap.items_of(value).size());
    case PickleKind::dict:
      return fmt::format("a dict of {}", heap.items_of(value).size() / 2);
    case PickleKind::global:
      return std::string(value.as_global().name);
    case PickleKind::storage:
      return "a storage";
    case PickleKind::tensor:
      return "a tensor";
    case PickleKind::opaque:
      return "an object";
  }
  return "a value";
}

}  // namespace deadray
