//! `project` with the matrices of a Q4_K_M model.

use psionic_kernels::project;

use crate::kernel::matvec::{Op, Spec};
use crate::kernel::{Case, Kernel, Shapes};
use crate::quant::QuantType::{Q4K, Q6K};

pub const KERNEL: Kernel = Kernel::of::<project::project::Args>(
    "up to three quantised matrices times one vector in 8-bit codes, which it normalises first",
    cases,
);

fn cases(shapes: &Shapes) -> Vec<Case> {
    let &Shapes { hidden, ffn, vocab, .. } = shapes;
    let (q, kv) = (shapes.q(), shapes.kv());
    let spec = |name, matrices: &[_], cols| Spec::new(Op::Project, name, matrices, cols);
    // Q4_K_M keeps v and down of half of the layers in six bits.
    [
        spec("qkv", &[(Q4K, q), (Q4K, kv), (Q4K, kv)], hidden).norm(),
        spec("qkv-q6_k", &[(Q4K, q), (Q4K, kv), (Q6K, kv)], hidden).norm(),
        spec("o", &[(Q4K, hidden)], q).add(),
        spec("down", &[(Q4K, hidden)], ffn).add(),
        spec("down-q6_k", &[(Q6K, hidden)], ffn).add(),
        spec("head", &[(Q6K, vocab)], hidden).norm(),
    ]
    .map(Spec::case)
    .into()
}
