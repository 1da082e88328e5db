#pragma once

#include "verify/device/channel.h"
#include "verify/ranks/communicator.h"

namespace deadray {

/// The moments of the rows of all ranks, as one channel would have them up to rounding: rows that
/// are equal on all ranks keep a covariance of exactly zero. Collective.
/// @param mine   of a channel whose `shift` was the same on all ranks, where it has directions
/// @param owner  the rank that gets them. The others get `count`, the rest is undefined
RowMoments merge_moments(RowMoments mine, Communicator& ranks, int owner);

}  // namespace deadray
