//! The choice of a token: `argmax`, which finds the largest logit of each block, and `advance`, which takes the best of
//! those and moves on.

use cuda_std::launch::LaunchConfig;
use psionic_kernels::{advance, argmax};

use super::case::{Case, Prepared};
use super::expected::{Expected, Mismatch, Outputs};
use super::shapes::Shapes;
use crate::decode::launches::argmax_blocks;
use crate::device::{Buffer, Device, DeviceError};

/// What no launch leaves: a float that is none, and no token.
const POISON: u32 = u32::MAX;

pub fn argmax(shapes: &Shapes) -> Vec<Case> {
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

pub fn advance(shapes: &Shapes) -> Vec<Case> {
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

    fn check(&self, _: usize, found: &Outputs) -> Result<(), Mismatch> {
        self.expected.check(found)
    }
}

/// Tokens of a sequence: the one that is there, and room for those of as many launches as follow a reset.
const TOKENS: usize = 1 + super::measure::MOST_LAUNCHES;

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

    fn check(&self, _: usize, found: &Outputs) -> Result<(), Mismatch> {
        self.expected.check(found)
    }
}
