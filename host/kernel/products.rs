//! What the persistent engine's products are measured with, in the tiles and on the grid that the engine would have.

use std::borrow::Cow;

use cuda_std::launch::LaunchConfig;
use psionic_kernels::persistent::plan::{self, MAX_SLOTS, Plan, WARPS};
use psionic_kernels::persistent::products::{Matrices, products};
use psionic_kernels::persistent::tile::{BLOCK, Code, ROWS};
use psionic_kernels::project;

use super::case::{Case, Prepared};
use super::expected::{Expected, Near, Outputs};
use super::matvec::{decided, sample};
use super::shapes::Shapes;
use super::stored::Stored;
use crate::decode::pack::kind;
use crate::decode::{NEEDED_PTX, tiles};
use crate::device::{Buffer, Device, DeviceError, DeviceInfo};
use crate::quant::QuantType;
use crate::random::Random;

/// The kernel.
const NAME: &str = "products";

/// Fewer slots of the ring than the engine works with.
const LEAST_SLOTS: u32 = 4;

/// A case in numbers.
#[derive(Clone)]
pub struct Spec {
    name: &'static str,
    count: usize,
    quant: QuantType,
    /// Rows of the parts that a matrix consists of.
    parts: Vec<usize>,
    cols: usize,
    /// Query heads of a KV head, which the engine keeps beside the ring.
    heads: usize,
    /// Blocks of hidden elements of a group, which the engine keeps beside the ring.
    slice: usize,
}

impl Spec {
    /// `count` matrices as wide as the residual stream, each of parts of so many rows, in a model of this shape.
    pub fn new(
        name: &'static str,
        count: usize,
        (quant, parts): (QuantType, &[usize]),
        shapes: &Shapes,
    ) -> Self {
        let &Shapes { hidden, ffn, heads, kv_heads, .. } = shapes;
        Self {
            name,
            count,
            quant,
            parts: parts.to_vec(),
            cols: hidden,
            heads: heads / kv_heads,
            slice: (ffn / BLOCK).div_ceil(kv_heads),
        }
    }

    /// As a case.
    pub fn case(self) -> Case {
        let rows = self.rows();
        let tiles = rows.div_ceil(ROWS as usize) * (self.cols / BLOCK);
        let tile = Code::of(kind(self.quant)).map_or(0, Code::bytes) as usize;
        let bytes = self.count * (tiles * tile + (self.cols + rows) * size_of::<f32>());
        let parts: Vec<String> = self.parts.iter().map(|rows| format!("{rows} {}", self.quant)).collect();
        let shape = format!("{} x ({}) x {}", self.count, parts.join(" + "), self.cols);
        let case = Case::new(NAME, self.name, shape, bytes, move |device, copies, random| {
            Products::new(device, &self, copies, random).map(|products| Box::new(products) as _)
        });
        case.needs(NEEDED_PTX)
    }

    /// Rows of a matrix.
    fn rows(&self) -> usize {
        self.parts.iter().sum()
    }

    /// The grid on a device: one block a multiprocessor, and none that would not shorten another's work.
    fn plan(&self, info: &DeviceInfo) -> Result<Plan, DeviceError> {
        let sets = self.rows().div_ceil(ROWS as usize) as u32;
        let blocks = sets.div_ceil(sets.div_ceil(info.multiprocessors));
        let mut plan = Plan {
            groups: 1,
            blocks,
            key_blocks: blocks,
            layers: 0,
            hidden: self.cols as u32,
            heads: self.heads as u32,
            ffn: 0,
            largest_slice: self.slice as u32,
            vocab: self.rows() as u32,
            context: 0,
            eps: 0.0,
            slots: 0,
            // A model in Q4_K_M has tiles of Q6_K in every layer.
            slot_bytes: WARPS * Code::Q6K.bytes(),
            in_flight: 0,
            alone: 0,
        };
        let fixed = plan.shared().bytes;
        plan.slots = (info.shared_bytes.saturating_sub(fixed) / plan.slot_bytes).min(MAX_SLOTS);
        // Nothing is exchanged that would queue behind them.
        plan.in_flight = plan.slots;
        if plan.slots < LEAST_SLOTS {
            let shared_bytes = fixed + LEAST_SLOTS * plan.slot_bytes;
            return Err(DeviceError::NotResident { kernel: NAME, threads: plan::THREADS, shared_bytes });
        }
        Ok(plan)
    }
}

struct Products<'d> {
    device: &'d Device,
    plan: Plan,
    kinds: u32,
    /// Bytes from one block's tiles to the next one's.
    stride: usize,
    count: usize,
    copies: Vec<Copy>,
    expected: Expected,
}

struct Copy {
    tiles: Buffer<u8>,
    x: Buffer<f32>,
    out: Buffer<f32>,
}

impl<'d> Products<'d> {
    fn new(device: &'d Device, spec: &Spec, copies: usize, random: &mut Random) -> Result<Self, DeviceError> {
        let plan = spec.plan(device.info())?;
        let (count, rows, cols) = (spec.count, spec.rows(), spec.cols);
        let std = (cols as f32).sqrt().recip();
        let (mut kinds, mut stride, mut packed) = (0, 0, Vec::new());
        let (mut near, mut vectors) = (Vec::new(), Vec::new());
        let mut tiles: Vec<Buffer<u8>> = Vec::new();
        // A matrix at a time: all of them may be more than the host has room for twice.
        for matrix in 0..count {
            let stored = Stored::random(spec.quant, (rows, cols), std, random);
            let view = stored.view();
            let matrices = tiles::Matrices::Head(&view);
            if matrix == 0 {
                kinds = matrices.kinds().unwrap_or(0);
                stride = matrices.stride(&plan);
                packed.resize(stride * plan.blocks as usize, 0);
                let len = count * packed.len();
                tiles = (0..copies).map(|_| device.zeroed(len)).collect::<Result<_, _>>()?;
            }
            matrices.pack(&plan, &mut packed);
            for tiles in &mut tiles {
                device.write(tiles, matrix * packed.len(), &packed)?;
            }
            let (x, v) = decided(cols, None, random);
            vectors.extend(x);
            let mut first = 0;
            for &part in &spec.parts {
                near.extend(sample(part, random).into_iter().map(|row| {
                    let weights = stored.row(first + row);
                    let value = project::reference(&weights, &v.rounded)[0];
                    Near { index: matrix * rows + first + row, value, bound: v.bound(&weights) }
                }));
                first += part;
            }
        }
        let copy = |tiles| {
            let (x, out) = (device.upload(&vectors)?, device.zeroed(count * rows)?);
            Ok(Copy { tiles, x, out })
        };
        let copies = tiles.into_iter().map(copy).collect::<Result<_, DeviceError>>()?;
        let expected = Expected { before: vec![f32::NAN; count * rows], near, words: Vec::new() };
        Ok(Self { device, plan, kinds, stride, count, copies, expected })
    }
}

impl Prepared for Products<'_> {
    fn reset(&mut self, copy: usize) -> Result<(), DeviceError> {
        self.device.poison(&mut self.copies[copy].out, 0, &self.expected.before)
    }

    fn launch(&self, copy: usize) -> Result<(), DeviceError> {
        let Copy { tiles, x, out } = &self.copies[copy];
        let shared = self.plan.shared();
        let matrices = Matrices {
            tiles: tiles.as_ptr().as_host(),
            kinds: self.kinds,
            stride: (self.stride / 16) as u32,
            count: self.count as u32,
        };
        let args = products::Args { plan: self.plan, shared, matrices, x: x.as_ptr(), out: out.as_mut_ptr() };
        let config = LaunchConfig::new(self.plan.blocks, plan::THREADS).shared_bytes(shared.bytes);
        // SAFETY: the tiles were packed for this plan; `x` has a vector for each matrix, and `out` the rows of all.
        unsafe { self.device.launch(config, args) }
    }

    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError> {
        Ok(Outputs { floats: self.device.download(&self.copies[copy].out)?, words: Vec::new() })
    }

    fn expected(&self, _: usize, _: &Outputs) -> Cow<'_, Expected> {
        Cow::Borrowed(&self.expected)
    }
}
