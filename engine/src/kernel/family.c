/* Choosing a kernel family by what the CPU can do, never by timing. */
#include "kernel/family.h"

#if MR_X86
#include <cpuid.h>
#endif
#include <stdatomic.h>
#include <string.h>

#define FAMILY(name)                                                                               \
  {                                                                                                \
#name, &mr__ops_##name, &mr__optimizers_##name, mr__reduce_stretch_##name,                     \
        mr__step_stretch_##name, mr__stretch_squares_##name, mr__share_squares_##name,             \
        mr__sum_share_##name, mr__update_share_##name, mr__limit_products_##name,                  \
        mr__limit_layer_##name, mr__limit_copy_##name, mr__scan_words_##name,                      \
        mr__cell_keys_##name, mr__row_keys_##name, mr__split_cell_##name, mr__note_codes_##name,   \
        mr__find_known_##name, mr__turn_words_##name, mr__put_words_##name, mr__normals_##name     \
  }

static const struct mr__family families[] = {
#if MR_X86
    FAMILY(avx512),
    FAMILY(avx2),
#endif
    FAMILY(plain),
};

enum { N_FAMILIES = sizeof families / sizeof *families };

static _Atomic(const struct mr__family *) chosen;

static int supported(const struct mr__family *family) {
#if MR_X86
  __builtin_cpu_init();
  if (strcmp(family->name, "avx512") == 0)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
  if (strcmp(family->name, "avx2") == 0)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#endif
  return strcmp(family->name, "plain") == 0;
}

const struct mr__family *mr__family(void) {
  const struct mr__family *family = atomic_load(&chosen);
  for (int i = 0; !family && i < N_FAMILIES; i++)
    if (supported(&families[i])) atomic_store(&chosen, family = &families[i]);
  return family;
}

/* By AVX512-FP16, which came with such cores: bit 23 of EDX of leaf 7, since not every compiler has
 * a name for it. */
int mr__gathers_fast(void) {
#if MR_X86
  static atomic_int known; /* 1: no; 2: yes */
  int answer = atomic_load_explicit(&known, memory_order_relaxed);
  if (answer == 0) {
    unsigned a, b, c, d;
    answer = 1 + (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 23 & 1));
    atomic_store_explicit(&known, answer, memory_order_relaxed);
  }
  return answer == 2;
#else
  return 0;
#endif
}

const char *mr_isa(void) { return mr__family()->name; }

int mr_isa_set(const char *name) {
  if (strcmp(name, "auto") == 0) {
    atomic_store(&chosen, NULL);
    return MR_OK;
  }
  for (int i = 0; i < N_FAMILIES; i++) {
    if (strcmp(families[i].name, name) != 0) continue;
    if (!supported(&families[i]))
      return mr__fail(MR_ESYSTEM, "this CPU lacks what the kernel family \"%s\" needs", name);
    atomic_store(&chosen, &families[i]);
    return MR_OK;
  }
  return mr__fail(MR_EINVAL, "no kernel family \"%s\", expected auto, avx512, avx2 or plain", name);
}
