//! `embed`: each copy takes another row of one table.

use std::borrow::Cow;

use cuda_std::launch::LaunchConfig;
use psionic_kernels::{embed, layout};

use crate::decode::launches::{DeviceMatrix, EMBED_THREADS};
use crate::decode::pack::{kind, pack, packed_len};
use crate::device::{Buffer, Device, DeviceError};
use crate::kernel::{Case, Expected, Kernel, Outputs, Prepared, Shapes, Stored};
use crate::random::Random;

pub const KERNEL: Kernel = Kernel::of::<embed::embed::Args>("a row of the embedding", cases);

fn cases(shapes: &Shapes) -> Vec<Case> {
    let (format, rows, cols) = (shapes.embedding, shapes.vocab, shapes.hidden);
    let row = layout::Planes::new(kind(format), 1, cols).bytes;
    let shape = format!("1 of {rows} x {cols} {format}");
    vec![Case::new("embed", "row", shape, row + 2 * 4 + cols * 4, move |device, copies, random| {
        let table = Stored::random(format, (rows, cols), 1.0, random);
        Embed::new(device, &table, copies, random).map(|embed| Box::new(embed) as _)
    })]
}

struct Embed<'d> {
    device: &'d Device,
    table: DeviceMatrix,
    copies: Vec<Copy>,
}

struct Copy {
    tokens: Buffer<u32>,
    position: Buffer<u32>,
    out: Buffer<f32>,
    expected: Expected,
}

impl<'d> Embed<'d> {
    fn new(
        device: &'d Device,
        table: &Stored,
        copies: usize,
        random: &mut Random,
    ) -> Result<Self, DeviceError> {
        let mut packed = vec![0; packed_len(&table.view())];
        pack(&table.view(), &mut packed);
        let copy = |_| {
            let token = random.below(table.rows);
            Ok(Copy {
                tokens: device.upload(&[token as u32])?,
                position: device.zeroed(1)?,
                out: device.zeroed(table.cols)?,
                // The format defines every bit.
                expected: Expected::of(table.row(token).into_iter().map(|weight| (weight, 0.0))),
            })
        };
        Ok(Self {
            device,
            copies: (0..copies).map(copy).collect::<Result<_, DeviceError>>()?,
            table: DeviceMatrix::upload(device, &table.view(), &packed)?,
        })
    }
}

impl Prepared for Embed<'_> {
    fn reset(&mut self, copy: usize) -> Result<(), DeviceError> {
        let Copy { out, expected, .. } = &mut self.copies[copy];
        self.device.poison(out, 0, &expected.before)
    }

    fn launch(&self, copy: usize) -> Result<(), DeviceError> {
        let Copy { tokens, position, out, .. } = &self.copies[copy];
        let args = embed::embed::Args {
            m: self.table.argument(0, 1),
            tokens: tokens.as_ptr(),
            position: position.as_ptr(),
            out: out.as_mut_ptr(),
        };
        let chunks = layout::chunks(self.table.cols()) as u32;
        let config = LaunchConfig::new(chunks.div_ceil(EMBED_THREADS), EMBED_THREADS);
        // SAFETY: the token is a row of the table, `out` has its columns, and there are threads for all chunks.
        unsafe { self.device.launch(config, args) }
    }

    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError> {
        Ok(Outputs { floats: self.device.download(&self.copies[copy].out)?, words: Vec::new() })
    }

    fn expected(&self, copy: usize, _: &Outputs) -> Cow<'_, Expected> {
        Cow::Borrowed(&self.copies[copy].expected)
    }
}
