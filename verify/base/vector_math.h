#pragma once

namespace deadray {

/// Lets libtorch's vector mathematics (MKL's VML) choose its code on one thread, once a process.
/// Where two threads make the first call of exp, erf, tanh or log, one of them may compute with an
/// accuracy of 1e-10: seen of MKL 2024.2 on AVX-512, in one process of twenty. Every forward pass
/// and all that is computed of its results comes after this.
void settle_vector_math();

}  // namespace deadray
