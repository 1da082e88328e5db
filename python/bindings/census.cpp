#include "python/bindings/census.h"

#include <fmt/format.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json_text.h"
#include "host/census/census_json.h"
#include "host/census/census_model.h"
#include "host/census/report/census_report.h"
#include "python/bindings/find_model.h"

namespace nb = nanobind;

namespace deadray {
namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
/// Name, dtype as safetensors spells it, shape.
using Tensor = std::tuple<std::string, std::string, std::vector<std::int64_t>>;
/// Name, stack, blocks, dimension of each, why there is none.
using Row =
    std::tuple<std::string, std::string, std::vector<std::int64_t>, std::int64_t, std::string>;
/// The record, the table, and the rows of `causes` and `up_to_eps`.
using Counted = std::tuple<std::string, std::string, std::vector<Row>, std::vector<Row>>;

std::vector<Row> rows_for_python(const std::vector<CensusEntry>& entries) {
  std::vector<Row> rows;
  for (CensusRow& row : rows_of(entries)) {
    if (row.first->block < 0) row.blocks.clear();
    rows.emplace_back(row.first->cause, row.first->stack, std::move(row.blocks),
                      row.first->dimension, row.first->why);
  }
  return rows;
}

Counted counted(const ModelCensus& model) {
  return {record_text(to_json(model)), to_text(model, false), rows_for_python(model.census.causes),
          rows_for_python(model.census.up_to_eps)};
}

Counted census_on_disk(const std::string& model) {
  const nb::gil_scoped_release others_may_run;
  const ResolvedModels found = find_model(model, HubPurpose::census);
  ModelCensus census = census_of_model(found.models.front().path, {});
  add_origin(census.hub, found, 0);
  return counted(census);
}

Counted census_of_text(const std::string& config, std::string name) {
  ModelCensus model = census_of_config(Config::parse(config, name));
  model.name = std::move(name);
  return counted(model);
}

/// @param read  of a tensor's index its bytes, all of them
Checkpoint held_by_python(const std::string& name, const std::vector<Tensor>& tensors,
                          const nb::callable& read) {
  HeldTensors held{name, {}, {}};
  for (const auto& [tensor, dtype, shape] : tensors) {
    TensorInfo info;
    info.name = tensor;
    info.dtype = parse_dtype(dtype);
    info.stored_dtype = dtype;
    info.shape = shape;
    info.offset = held.tensors.size();
    held.tensors.push_back(std::move(info));
  }
  held.read = [name, read](const TensorInfo& tensor, std::int64_t first, std::int64_t count,
                           void* destination) {
    const auto bytes = nb::cast<Bytes>(read(tensor.offset));
    const std::size_t size = size_of(tensor.dtype);
    if (bytes.size() != static_cast<std::size_t>(tensor.elements()) * size)
      throw InternalError(fmt::format("{}: tensor {}: {} bytes were given for {} elements", name,
                                      in_quotes(tensor.name), bytes.size(), tensor.elements()));
    std::memcpy(destination, bytes.data() + static_cast<std::size_t>(first) * size,
                static_cast<std::size_t>(count) * size);
  };
  return Checkpoint::hold(std::move(held));
}

Counted census_in_memory(const std::string& config, std::string name,
                         const std::vector<Tensor>& tensors, const nb::callable& read) {
  ModelCensus model =
      census_of_weights(held_by_python(name, tensors, read), Config::parse(config, name), false);
  model.name = std::move(name);
  return counted(model);
}

}  // namespace

void add_census(nb::module_& module) {
  module.def("census_model", &census_on_disk, nb::arg("model"),
             "The record deadray/census/1 of a model on disk, its table, and its rows.");
  module.def("census_config", &census_of_text, nb::arg("config"), nb::arg("name"),
             "The same of a configuration, as JSON.");
  module.def("census_tensors", &census_in_memory, nb::arg("config"), nb::arg("name"),
             nb::arg("tensors"), nb::arg("read"),
             "The same of a model in memory; read(index) gives a tensor's bytes, as uint8.");
}

}  // namespace deadray
