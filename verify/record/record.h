#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verify/measure/activations.h"
#include "verify/measure/measurement.h"
#include "verify/plan/plan.h"

namespace deadray {

/// What a record says of the model, of what it was run on and of the machine, beside the
/// measurements.
struct RecordHeader {
  // "model"
  std::string name, family;
  std::optional<HubSnapshot> hub;  ///< where the model is a snapshot of the hub's cache
  Source source = Source::checkpoint;
  std::int64_t parameters = 0;  ///< 0: unknown, of a file of activations
  DType dtype = DType::f32;
  // "calibration"
  std::string calibration;      ///< its kind: "random", "random pixels" or a file's name
  bool drawn_at_random = true;  ///< the tokens or pixels, with `seed`; else they come from a file
  std::int64_t tokens = 0, sequence_length = 0;
  /// Tokens that entered the statistics, that a mask hides, that were to be skipped.
  std::int64_t rows = 0, masked = 0, skipped = 0;
  std::uint64_t seed = 0;
  std::vector<std::int64_t> pixels;  ///< shape of the pictures or clips; empty: none

  std::vector<std::string> notes;       ///< what the user should know although it is no error
  double forward_flops = 0;             ///< of the matrix products, all ranks; 0: no forward pass
  double gemm_rate = 0;                 ///< Plan::gemm_rate; 0: not measured
  std::vector<std::string> hosts = {};  ///< of each rank; empty: one process
};

/// What a model and its tokens say of themselves.
RecordHeader record_header(const Model& model, const Calibration& calibration, DType dtype,
                           const Plan& plan);

/// What a file of activations says of itself.
RecordHeader record_header(const ActivationsResult& result);

/// "8 masked, 4 skipped": the tokens that entered no statistic; empty where all did.
std::string left_out_text(const RecordHeader& header);

/// What every record of a run begins with: "schema", "model", "calibration".
nlohmann::ordered_json record_json(const RecordHeader& header, std::string_view schema);

/// The record `deadray/verify/1` of docs/records.md. Its keys have a fixed order, so that equal
/// measurements give equal text but for "seconds" and "environment". What was not measured is null.
nlohmann::ordered_json verify_record(const RecordHeader& header, const Measurement& measurement,
                                     const Backend& backend = cpu_backend());

}  // namespace deadray
