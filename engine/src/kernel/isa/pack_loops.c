/* The packed form of transposed weights (kernel/kernel.h), turned 16 by 16 numbers at a time. */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/turn.h"

/* At most 16 inputs, of `left` that exist, against all outputs; `width` is the panel's. */
static void pack_inputs(const float *weights, int left, int outputs, float *to, int width) {
  int o = 0, n = left < MR__VECTOR ? left : MR__VECTOR;
  for (; n == MR__VECTOR && o + MR__VECTOR <= outputs; o += MR__VECTOR)
    mr__turn_floats(weights + o, (size_t)outputs, to + (size_t)o * (size_t)width, (size_t)width);
  for (; o < outputs; o++)
    for (int c = 0; c < MR__VECTOR; c++)
      to[(size_t)o * (size_t)width + (size_t)c] =
          c < n ? weights[(size_t)c * (size_t)outputs + (size_t)o] : 0.0f;
}

void MR_FAMILY(mr__pack_transposed)(const float *weights, int inputs, int outputs,
                                    float *packed) {
  for (int first = 0, width; first < inputs; first += width) {
    width = mr__panel_width(inputs, first);
    for (int c = 0; c < width; c += MR__VECTOR)
      pack_inputs(weights + (size_t)(first + c) * (size_t)outputs, inputs - first - c, outputs,
                  packed + c, width);
    packed += (size_t)outputs * (size_t)width;
  }
}
