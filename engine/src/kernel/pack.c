#include "kernel/kernel.h"

void mr__pack(const float *weights, int inputs, int outputs, float *packed) {
  for (int first = 0; first < outputs; first += MR__PANEL) {
    int left = outputs - first < MR__PANEL ? outputs - first : MR__PANEL;
    int width = mr__panel_width(outputs, first);
    for (int i = 0; i < inputs; i++) {
      const float *row = weights + (size_t)i * outputs + first;
      for (int c = 0; c < left; c++) packed[c] = row[c];
      for (int c = left; c < width; c++) packed[c] = 0.0f;
      packed += width;
    }
  }
}
