/* The ops and optimizers of one family, in the order of the .def files. */
#include "graph/op.h"
#include "optim/optim.h"

#define OP(name) extern const struct mr__op MR_FAMILY(mr__op_##name);
#include "ops/ops.def"
#undef OP
static const struct mr__op *const ops[] = {
#define OP(name) &MR_FAMILY(mr__op_##name),
#include "ops/ops.def"
#undef OP
};
const struct mr__op_list MR_FAMILY(mr__ops) = {ops, sizeof ops / sizeof *ops};

#define OPTIMIZER(name) extern const struct mr__optimizer MR_FAMILY(mr__optim_##name);
#include "optim/optim.def"
#undef OPTIMIZER
static const struct mr__optimizer *const optimizers[] = {
#define OPTIMIZER(name) &MR_FAMILY(mr__optim_##name),
#include "optim/optim.def"
#undef OPTIMIZER
};
const struct mr__optimizer_list MR_FAMILY(mr__optimizers) = {
    optimizers, sizeof optimizers / sizeof *optimizers};
