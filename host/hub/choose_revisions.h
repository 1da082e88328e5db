#pragma once

#include <functional>
#include <string>
#include <vector>

namespace deadray {

/// The revisions that a list names: each once, in the list's order; a pattern's ("step*", "v[12]")
/// in the hub's.
/// @param all  asks for the names of all branches and tags; called where a pattern needs it
/// @throws UsageError a pattern that none has, naming near ones; a name that is no revision's
std::vector<std::string> choose_revisions(const std::vector<std::string>& list,
                                          const std::function<std::vector<std::string>()>& all);

}  // namespace deadray
