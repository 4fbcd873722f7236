//! `argmax` of the logits.

use std::borrow::Cow;

use cuda_std::launch::LaunchConfig;
use psionic_kernels::argmax;

use crate::decode::launches::argmax_blocks;
use crate::device::{Buffer, Device, DeviceError};
use crate::kernel::{Case, Expected, Kernel, Outputs, Prepared, Shapes};

pub const KERNEL: Kernel = Kernel::of::<argmax::argmax::Args>("the largest logit of each block", cases);

/// A float that is none, and no token.
const POISON: u32 = u32::MAX;

fn cases(shapes: &Shapes) -> Vec<Case> {
    let n = shapes.vocab;
    let blocks = argmax_blocks(n) as usize;
    vec![Case::new("argmax", "vocab", n.to_string(), n * 4 + blocks * 8, move |device, copies, random| {
        let logits = random.normals(n);
        let copy = |_| Ok((device.upload(&logits)?, device.zeroed(2 * blocks)?));
        let copies = (0..copies).map(copy).collect::<Result<_, DeviceError>>()?;
        let words = (0..blocks).flat_map(|block| {
            let of_block = |i: &usize| i / argmax::THREADS as usize % blocks == block;
            let indices: Vec<usize> = (0..n).filter(of_block).collect();
            let values: Vec<f32> = indices.iter().map(|&i| logits[i]).collect();
            let best = argmax::reference(&values);
            [values[best].to_bits(), indices[best] as u32]
        });
        let expected = Expected::exactly(words.collect());
        Ok(Box::new(Argmax { device, n, blocks, copies, expected }))
    })]
}

struct Argmax<'d> {
    device: &'d Device,
    n: usize,
    blocks: usize,
    /// Logits, and what is best in each block.
    copies: Vec<(Buffer<f32>, Buffer<u32>)>,
    expected: Expected,
}

impl Prepared for Argmax<'_> {
    fn reset(&mut self, copy: usize) -> Result<(), DeviceError> {
        self.device.poison(&mut self.copies[copy].1, 0, &vec![POISON; 2 * self.blocks])
    }

    fn launch(&self, copy: usize) -> Result<(), DeviceError> {
        let (logits, best) = &self.copies[copy];
        let (logits, n, best) = (logits.as_ptr(), self.n as u32, best.as_mut_ptr().cast());
        let config = LaunchConfig::new(self.blocks as u32, argmax::THREADS);
        // SAFETY: the buffers have `n` logits and two words for each block.
        unsafe { self.device.launch(config, argmax::argmax::Args { logits, n, best }) }
    }

    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError> {
        Ok(Outputs { floats: Vec::new(), words: self.device.download(&self.copies[copy].1)? })
    }

    fn expected(&self, _: usize, _: &Outputs) -> Cow<'_, Expected> {
        Cow::Borrowed(&self.expected)
    }
}
