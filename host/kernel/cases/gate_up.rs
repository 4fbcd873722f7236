//! `gate_up` with the matrices of a Q4_K_M model.

use psionic_kernels::gate_up;

use crate::kernel::matvec::{Op, Spec};
use crate::kernel::{Case, Kernel, Shapes};
use crate::quant::QuantType::Q4K;

pub const KERNEL: Kernel =
    Kernel::of::<gate_up::gate_up::Args>("norm, gate, up and SwiGLU, with 8-bit codes", cases);

fn cases(shapes: &Shapes) -> Vec<Case> {
    let &Shapes { hidden, ffn, .. } = shapes;
    vec![Spec::new(Op::GateUp, "gate_up", &[(Q4K, ffn), (Q4K, ffn)], hidden).norm().case()]
}
