//! Every kernel against its plain float64 reference: seeded random inputs, odd sizes.
//!
//! On the simulator, or on a GPU with `PSIONIC_TEST_BACKEND=cuda`.

mod advance;
mod argmax;
mod attention;
mod cases;
mod checks;
mod gate_up;
mod pack;
mod project;
mod project_f32;
mod rms_norm;
mod swiglu;

use cuda_std::launch::{KernelArgs, LaunchConfig};
use psionic::decode::pack::{kind, pack, packed_len};
use psionic::device::{Buffer, Device};
use psionic::kernel::Stored;
use psionic_kernels::layout;

/// A packed matrix on the device.
struct Uploaded {
    data: Buffer<u8>,
    rows: usize,
    cols: usize,
    kind: layout::Kind,
}

impl Uploaded {
    fn new(device: &Device, stored: &Stored) -> Self {
        let matrix = stored.view();
        let mut packed = vec![0; packed_len(&matrix)];
        pack(&matrix, &mut packed);
        let data = device.upload(&packed).expect("the matrix fits");
        Self { data, rows: stored.rows, cols: stored.cols, kind: kind(stored.kind) }
    }

    fn argument(&self, first_block: u32, blocks: u32) -> layout::Matrix {
        let (rows, cols) = (self.rows as u32, self.cols as u32);
        layout::Matrix {
            data: self.data.as_ptr().as_host(),
            rows,
            cols,
            kind: self.kind,
            first_block,
            blocks,
        }
    }
}

/// Up to three matrices as one launch takes them, with the blocks that each gets, and the blocks of all.
fn share(matrices: &[Uploaded], blocks: &[u32]) -> ([layout::Matrix; 3], u32) {
    let mut arguments = [layout::Matrix::NONE; 3];
    let mut first = 0;
    for ((argument, m), blocks) in arguments.iter_mut().zip(matrices).zip(blocks) {
        *argument = m.argument(first, *blocks);
        first += blocks;
    }
    (arguments, first)
}

/// Runs a kernel and waits for it.
///
/// # Safety
/// As for [`Device::launch`].
unsafe fn launch<K: KernelArgs + 'static>(device: &Device, config: LaunchConfig, args: K) {
    // SAFETY: as the caller promises.
    unsafe { device.launch(config, args) }.expect("the launch is accepted");
    device.synchronize().expect("the kernel ends well");
}

/// Every output is as near to what is expected as its own bound says.
#[track_caller]
fn assert_near(found: &[f32], expected: &[f64], bounds: &[f64], what: &str) {
    assert_eq!((found.len(), bounds.len()), (expected.len(), expected.len()), "{what}");
    for (i, ((found, expected), bound)) in found.iter().zip(expected).zip(bounds).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= *bound,
            "{what}, output {i}: {found}, expected {expected}: off by {error:e}, at most {bound:e}"
        );
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}
