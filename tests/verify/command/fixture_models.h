#pragma once

#include <string>

namespace deadray::test {

/// Small models of every family, each in a folder of its name; ends in '/'.
inline const std::string kModels = DEADRAY_FIXTURES "/models/";

}  // namespace deadray::test
