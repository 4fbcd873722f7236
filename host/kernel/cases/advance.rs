//! `advance` from what is best in each block of `argmax`.

use std::borrow::Cow;

use cuda_std::launch::LaunchConfig;
use psionic_kernels::{advance, argmax};

use crate::decode::launches::argmax_blocks;
use crate::device::{Buffer, Device, DeviceError};
use crate::kernel::measure::MOST_LAUNCHES;
use crate::kernel::{Case, Expected, Kernel, Outputs, Prepared, Shapes};

pub const KERNEL: Kernel =
    Kernel::of::<advance::advance::Args>("the largest of those, and the step to the next position", cases);

/// No token.
const POISON: u32 = u32::MAX;

fn cases(shapes: &Shapes) -> Vec<Case> {
    let count = argmax_blocks(shapes.vocab) as usize;
    let bytes = count * 8 + 3 * 4;
    vec![Case::new("advance", "blocks", count.to_string(), bytes, move |device, copies, random| {
        let values = random.normals(count);
        let words: Vec<u32> =
            values.iter().enumerate().flat_map(|(i, value)| [value.to_bits(), (7 * i) as u32]).collect();
        let copy = |_| {
            Ok(Step {
                best: device.upload(&words)?,
                tokens: device.zeroed(TOKENS)?,
                position: device.zeroed(1)?,
            })
        };
        let copies = (0..copies).map(copy).collect::<Result<_, DeviceError>>()?;
        // The token before stays, the new one is chosen, and the position is the next.
        let chosen = (7 * argmax::reference(&values)) as u32;
        let expected = Expected::exactly(vec![POISON, chosen, POISON, 1]);
        Ok(Box::new(Advance { device, count, copies, expected }))
    })]
}

/// Tokens of a sequence: the one that is there, and room for those of as many launches as follow a reset.
const TOKENS: usize = 1 + MOST_LAUNCHES;

struct Step {
    best: Buffer<u32>,
    tokens: Buffer<u32>,
    position: Buffer<u32>,
}

struct Advance<'d> {
    device: &'d Device,
    count: usize,
    copies: Vec<Step>,
    expected: Expected,
}

impl Prepared for Advance<'_> {
    fn reset(&mut self, copy: usize) -> Result<(), DeviceError> {
        let Step { tokens, position, .. } = &mut self.copies[copy];
        self.device.poison(tokens, 0, &[POISON; TOKENS])?;
        self.device.write(position, 0, &[0])
    }

    fn launch(&self, copy: usize) -> Result<(), DeviceError> {
        let Step { best, tokens, position } = &self.copies[copy];
        let args = advance::advance::Args {
            best: best.as_ptr().cast(),
            candidates: self.count as u32,
            tokens: tokens.as_mut_ptr(),
            position: position.as_mut_ptr(),
        };
        // SAFETY: `best` has the candidates, and `tokens` a place for every launch after a reset.
        unsafe { self.device.launch(LaunchConfig::new(1, argmax::THREADS), args) }
    }

    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError> {
        let Step { tokens, position, .. } = &self.copies[copy];
        let mut words = vec![0; 4];
        self.device.read(tokens, 0, &mut words[..3])?;
        self.device.read(position, 0, &mut words[3..])?;
        Ok(Outputs { floats: Vec::new(), words })
    }

    fn expected(&self, _: usize, _: &Outputs) -> Cow<'_, Expected> {
        Cow::Borrowed(&self.expected)
    }
}
