//! All kernels: for each, a file with its summary and its cases, and an entry in the list.

mod advance;
mod argmax;
mod attention;
mod decode;
mod embed;
mod gate_up;
mod products;
mod project;
mod project_f32;
mod rms_norm;
mod swiglu;

use super::Kernel;

/// Every kernel: those of the graph in the order in which a token meets them, then the persistent engine's, then others.
pub static KERNELS: &[Kernel] = &[
    embed::KERNEL,
    project::KERNEL,
    attention::KERNEL,
    gate_up::KERNEL,
    rms_norm::KERNEL,
    project_f32::KERNEL,
    swiglu::KERNEL,
    argmax::KERNEL,
    advance::KERNEL,
    decode::KERNEL,
    products::KERNEL,
];
