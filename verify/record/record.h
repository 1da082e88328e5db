#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "verify/measure/activations.h"
#include "verify/measure/measurement.h"
#include "verify/plan/plan.h"

namespace deadray {

/// What stands in a record's "model", "calibration" and "environment" beside the measurements.
struct RecordHeader {
  std::string name, family;
  Source source = Source::checkpoint;
  std::int64_t parameters = 0;  ///< 0: unknown (activation files)
  DType dtype = DType::f32;
  std::string calibration;  ///< "random", "random pixels" or a file's name
  std::int64_t tokens = 0, sequence_length = 0;
  std::uint64_t seed = 0;
  std::vector<std::int64_t>
      pixels;  ///< shape of what a model of pictures or clips was run on; else empty
  std::vector<std::string>
      notes;                 ///< what the user should know of the files although it is no error
  double forward_flops = 0;  ///< of the matrix products; 0: no forward pass
  double gemm_rate =
      0;  ///< flops a second of a large product in the same dtype and run; 0: not measured
  std::optional<HubSnapshot> hub{};  ///< where the model is a snapshot of the hub's cache
};

/// What a model and its tokens say of themselves.
RecordHeader record_header(const Model& model, const Calibration& calibration, DType dtype,
                           const Plan& plan);

/// The same of a file of activations.
RecordHeader record_header(const ActivationsResult& result);

/// What every record of a run begins with: "schema", "model", "calibration".
nlohmann::ordered_json record_json(const RecordHeader& header, std::string_view schema);

/// The record `deadray/verify/1` of docs/records.md: one object, keys in a fixed order, so that
/// equal measurements give equal text but for "seconds" and "environment". What was not measured is
/// null.
nlohmann::ordered_json verify_record(const RecordHeader& header, const Measurement& measurement,
                                     const Backend& backend = cpu_backend());

/// Version, device, threads, libtorch, CUDA: what can change the figures' last digits.
nlohmann::ordered_json environment_json(const Backend& backend = cpu_backend());

}  // namespace deadray
