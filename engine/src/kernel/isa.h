/* Kernel families. The files of ops/, optim/ and kernel/isa/ are compiled once per family, with
 * MR_ISA naming it, so a plain loop becomes AVX-512, AVX2 or portable code with no work by its
 * author. MR_FAMILY(x) is the name of x in the family that is being compiled.
 *
 * All families give the same bits: element-wise arithmetic is IEEE and never contracted, and every
 * reduction has a fixed number of partial sums whatever the vector width (kernel/vec.h). */
#ifndef MR_KERNEL_ISA_H
#define MR_KERNEL_ISA_H

#define MR__JOIN_(name, family) name##_##family
#define MR__JOIN(name, family) MR__JOIN_(name, family)
#define MR_FAMILY(name) MR__JOIN(name, MR_ISA)

#endif
