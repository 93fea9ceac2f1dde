// The table of this instruction set.
#include "kernels.h"

namespace MMVOS_ISA {

extern const mmvos::Kernels kernels;
const mmvos::Kernels kernels = {correlation, correlation_backward, propagation,
                                propagation_backward, warp};

}  // namespace MMVOS_ISA
