//! `project_f32` with the matrices of a Q4_K_M model.

use psionic_kernels::project_f32;

use crate::kernel::matvec::{Op, Spec};
use crate::kernel::{Case, Kernel, Shapes};
use crate::quant::QuantType::{Q4K, Q6K};

pub const KERNEL: Kernel =
    Kernel::of::<project_f32::project_f32::Args>("up to three matrices times one vector of floats", cases);

fn cases(shapes: &Shapes) -> Vec<Case> {
    let &Shapes { hidden, ffn, vocab, .. } = shapes;
    let (q, kv) = (shapes.q(), shapes.kv());
    let spec = |name, matrices: &[_], cols| Spec::new(Op::ProjectF32, name, matrices, cols);
    [
        spec("qkv", &[(Q4K, q), (Q4K, kv), (Q4K, kv)], hidden),
        spec("o", &[(Q4K, hidden)], q).add(),
        spec("gate_up", &[(Q4K, ffn), (Q4K, ffn)], hidden),
        spec("down", &[(Q4K, hidden)], ffn).add(),
        spec("head", &[(Q6K, vocab)], hidden),
    ]
    .map(Spec::case)
    .into()
}
