#include "host/base/version.h"

namespace deadray {

std::string_view version() noexcept { return DEADRAY_VERSION; }

}  // namespace deadray
