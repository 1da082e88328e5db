#pragma once

#include <filesystem>
#include <string>

#include "host/formats/folder/folder_listing.h"

// What to give instead, where a path is no model: the ends of messages. Empty: nothing is known.
namespace deadray {

/// Of a path where nothing is: "org/name" may be a model of the hub, which its cache may hold.
std::string hint_for_missing(const std::filesystem::path& model);

/// Of a folder without weights: the folders in it that hold some, or the hub's snapshots there.
std::string hint_for_folder(const std::filesystem::path& folder, const FolderListing& listing);

}  // namespace deadray
