//! `products` with matrices of a Q4_K_M model: those of all layers, and that of the logits.

use psionic_kernels::persistent::products;

use crate::kernel::products::Spec;
use crate::kernel::{Case, Kernel, Shapes};
use crate::quant::QuantType::{Q4K, Q6K};

pub const KERNEL: Kernel = Kernel::of::<products::products::Args>(
    "the persistent engine's products alone: matrices, each times a vector of its own in 8-bit codes",
    cases,
);

fn cases(shapes: &Shapes) -> Vec<Case> {
    let &Shapes { layers, ffn, vocab, .. } = shapes;
    [Spec::new("gate_up", layers, (Q4K, &[ffn, ffn]), shapes), Spec::new("head", 1, (Q6K, &[vocab]), shapes)]
        .map(Spec::case)
        .into()
}
