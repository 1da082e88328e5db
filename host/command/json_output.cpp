#include "host/command/json_output.h"

#include <utility>

#include "host/base/atomic_file.h"
#include "host/base/json_text.h"
#include "host/base/output.h"

namespace deadray {

JsonOutput::JsonOutput(std::string path, const Inputs& inputs) : path_(std::move(path)) {
  if (path_ != "-") check_output(path_, inputs);
}

void JsonOutput::write(const nlohmann::ordered_json& record) const {
  if (path_.empty()) return;
  const std::string text = record_text(record);
  if (path_ == "-")
    write_output(text);
  else
    write_file_atomically(path_, text);
}

}  // namespace deadray
