#pragma once

#include "verify/flat/builder.h"

// One function for each cause of docs/census.md: it adds a random member of what is flat in the
// builder's block. One that finds no way adds nothing.
namespace deadray::flat {

void norm_kernel(Builder& builder);  // norm_moves.cpp
void norm_shift(Builder& builder);
void norm_scale(Builder& builder);

void values(Builder& builder);  // attention_moves.cpp
void value_bias(Builder& builder);
void queries_keys(Builder& builder);
void key_bias(Builder& builder);
void qk_layernorm(Builder& builder);

void homogeneity(Builder& builder);  // mlp_moves.cpp
void router(Builder& builder);
void layer_scale(Builder& builder);

void along_one(Builder& builder);  // stream_moves.cpp
void tables(Builder& builder);
void parallel(Builder& builder);
/// A shift that a post-norm's output takes along the stream to the next writer.
void shift_along_stream(Builder& builder, const census::NormUse& norm);

void rotation(Builder& builder);  // rotation_moves.cpp

void head_softmax(Builder& builder);  // head_moves.cpp
void maps_in_a_row(Builder& builder);

}  // namespace deadray::flat
