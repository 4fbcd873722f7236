//! `attention` at several positions, over a cache that ends with the new one.

use std::borrow::Cow;

use cuda_std::launch::LaunchConfig;
use half::f16;
use psionic_kernels::attention::{self, Shape};

use crate::decode::launches::attention_splits;
use crate::device::{Buffer, Device, DeviceError};
use crate::kernel::{Case, Expected, Kernel, Outputs, Prepared, Shapes, bounds, to_f64};
use crate::random::Random;

pub const KERNEL: Kernel = Kernel::of::<attention::attention::Args>(
    "q/k norm, RoPE, KV append and grouped-query attention of one token",
    cases,
);

/// Qwen3's.
const THETA: f64 = 1e6;
const EPS: f32 = 1e-6;

/// No number in half precision; as `f32` it is [`f32::NAN`].
const POISON: u16 = 0x7e00;

fn cases(shapes: &Shapes) -> Vec<Case> {
    shapes.positions.iter().map(|&position| case(shapes, position)).collect()
}

fn case(shapes: &Shapes, position: usize) -> Case {
    let shape = Shape {
        kv_heads: shapes.kv_heads as u32,
        group: (shapes.heads / shapes.kv_heads) as u32,
        head_dim: shapes.head_dim as u32,
        context: position as u32 + 1,
    };
    let (heads, kv_heads, d) = (shapes.heads, shapes.kv_heads, shapes.head_dim);
    // q, k and v, both norms, a row of cosines and sines, the position, the output.
    let words = (heads + 2 * kv_heads) * d + 2 * d + d + 1 + heads * d;
    // The positions before are read and the new one is written, keys and values.
    let cache = 2 * kv_heads * (position + 1) * d * size_of::<f16>();
    let text = format!("{heads} heads on {kv_heads} x {d}, position {position}");
    let name = format!("p{position}");
    Case::new("attention", name, text, words * size_of::<f32>() + cache, move |device, copies, random| {
        Attention::new(device, shape, copies, random).map(|attention| Box::new(attention) as _)
    })
}

struct Attention<'d> {
    device: &'d Device,
    shape: Shape,
    splits: u32,
    position: usize,
    inputs: Inputs,
    /// One for all copies: a launch reads one row of it.
    rope: Buffer<f32>,
    copies: Vec<Copy>,
}

struct Inputs {
    qkv: Vec<f32>,
    q_norm: Vec<f32>,
    k_norm: Vec<f32>,
    keys: Vec<u16>,
    values: Vec<u16>,
}

struct Copy {
    qkv: Buffer<f32>,
    q_norm: Buffer<f32>,
    k_norm: Buffer<f32>,
    position: Buffer<u32>,
    keys: Buffer<u16>,
    values: Buffer<u16>,
    partials: Buffer<f32>,
    counters: Buffer<u32>,
    out: Buffer<f32>,
}

impl Inputs {
    fn new(shape: &Shape, random: &mut Random) -> Self {
        let (d, kv_heads) = (shape.head_dim as usize, shape.kv_heads as usize);
        let mut cache = || {
            // Even, with a deviation of 1: a long cache of normal numbers would take long to make.
            let value = |_| f16::from_f32(3f32.sqrt() * random.signed()).to_bits();
            (0..kv_heads * shape.context as usize * d).map(value).collect()
        };
        let (keys, values) = (cache(), cache());
        let qkv = random.normals((shape.heads() as usize + 2 * kv_heads) * d);
        Self { qkv, q_norm: random.norm_weights(d), k_norm: random.norm_weights(d), keys, values }
    }
}

impl<'d> Attention<'d> {
    fn new(
        device: &'d Device,
        shape: Shape,
        copies: usize,
        random: &mut Random,
    ) -> Result<Self, DeviceError> {
        let (d, position) = (shape.head_dim as usize, shape.context as usize - 1);
        let splits = attention_splits(device, &shape)?;
        let inputs = Inputs::new(&shape, random);
        let rope = attention::rope_table(THETA, d, position + 1);
        let rope: Vec<f32> = rope.into_iter().flat_map(|pair| pair.0).collect();
        let copy = |_| {
            Ok(Copy {
                qkv: device.upload(&inputs.qkv)?,
                q_norm: device.upload(&inputs.q_norm)?,
                k_norm: device.upload(&inputs.k_norm)?,
                position: device.upload(&[position as u32])?,
                keys: device.upload(&inputs.keys)?,
                values: device.upload(&inputs.values)?,
                partials: device.zeroed(shape.partial_len(splits))?,
                counters: device.zeroed(shape.kv_heads as usize)?,
                out: device.zeroed(shape.heads() as usize * d)?,
            })
        };
        let copies = (0..copies).map(copy).collect::<Result<_, DeviceError>>()?;
        Ok(Self { device, shape, splits, position, rope: device.upload(&rope)?, inputs, copies })
    }

    fn head_dim(&self) -> usize {
        self.shape.head_dim as usize
    }

    /// Where the new key and value of each KV head lie in the cache.
    fn new_rows(&self) -> impl Iterator<Item = usize> {
        let (context, d, position) = (self.shape.context as usize, self.head_dim(), self.position);
        (0..self.shape.kv_heads as usize).map(move |kv_head| (kv_head * context + position) * d)
    }

    /// What float64 gives for the new keys and values, then for the heads' outputs over the keys that were `stored`:
    /// their rounding to half precision, which a last bit of `f32` may decide, does not count twice.
    fn over(&self, stored: &[f32]) -> Expected {
        let Inputs { qkv, q_norm, k_norm, keys, values } = &self.inputs;
        let (d, position, group) = (self.head_dim(), self.position, self.shape.group as usize);
        let (heads, kv_heads) = (self.shape.heads() as usize, self.shape.kv_heads as usize);
        let (eps, q_norm, k_norm) = (EPS.into(), to_f64(q_norm), to_f64(k_norm));
        let head = |index: usize| &qkv[index * d..][..d];
        let mut all = Vec::new();
        for kv_head in 0..kv_heads {
            let key = to_f64(head(heads + kv_head));
            let key = attention::reference_head(&key, &k_norm, eps, THETA, position);
            all.extend(key.into_iter().map(|k| (k, bounds::attention_key(k))));
        }
        let rounded = |v: &f32| f16::from_f32(*v).to_f64();
        for kv_head in 0..kv_heads {
            all.extend(head(heads + kv_heads + kv_head).iter().map(|v| (rounded(v), 0.0)));
        }
        let context = self.shape.context as usize;
        let rows = |cache: &[u16], kv_head: usize| -> Vec<Vec<f64>> {
            let rows = cache[kv_head * context * d..].chunks(d).take(position);
            rows.map(|row| row.iter().map(|bits| f16::from_bits(*bits).to_f64()).collect()).collect()
        };
        for kv_head in 0..kv_heads {
            let (mut keys, mut values) = (rows(keys, kv_head), rows(values, kv_head));
            keys.push(to_f64(&stored[kv_head * d..][..d]));
            values.push(head(heads + kv_heads + kv_head).iter().map(rounded).collect());
            let largest = values.iter().flatten().fold(0.0, |a: f64, v| a.max(v.abs()));
            for index in kv_head * group..(kv_head + 1) * group {
                let q = attention::reference_head(&to_f64(head(index)), &q_norm, eps, THETA, position);
                let out = attention::reference(&q, &keys, &values);
                all.extend(out.into_iter().map(|v| (v, bounds::attention(largest))));
            }
        }
        // The counters are zero again.
        Expected { words: vec![0; kv_heads], ..Expected::of(all) }
    }
}

impl Prepared for Attention<'_> {
    fn reset(&mut self, copy: usize) -> Result<(), DeviceError> {
        let (d, rows) = (self.head_dim(), self.new_rows().collect::<Vec<_>>());
        let Copy { keys, values, partials, out, .. } = &mut self.copies[copy];
        for row in rows {
            self.device.poison(keys, row, &vec![POISON; d])?;
            self.device.poison(values, row, &vec![POISON; d])?;
        }
        for buffer in [partials, out] {
            let poison = vec![f32::NAN; buffer.len()];
            self.device.poison(buffer, 0, &poison)?;
        }
        Ok(())
    }

    fn launch(&self, copy: usize) -> Result<(), DeviceError> {
        let copy = &self.copies[copy];
        let args = attention::attention::Args {
            qkv: copy.qkv.as_ptr(),
            q_norm: copy.q_norm.as_ptr(),
            k_norm: copy.k_norm.as_ptr(),
            eps: EPS,
            rope: self.rope.as_ptr().cast(),
            position: copy.position.as_ptr(),
            keys: copy.keys.as_mut_ptr().cast(),
            values: copy.values.as_mut_ptr().cast(),
            shape: self.shape,
            partials: copy.partials.as_mut_ptr(),
            counters: copy.counters.as_mut_ptr(),
            out: copy.out.as_mut_ptr(),
        };
        let config = LaunchConfig::new((self.splits, self.shape.kv_heads), attention::THREADS);
        // SAFETY: the buffers are as large as the shape and the splits demand.
        unsafe { self.device.launch(config.shared_bytes(self.shape.shared_bytes() as u32), args) }
    }

    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError> {
        let Copy { keys, values, counters, out, .. } = &self.copies[copy];
        let mut floats = Vec::new();
        for cache in [keys, values] {
            for start in self.new_rows() {
                let mut row = vec![0; self.head_dim()];
                self.device.read(cache, start, &mut row)?;
                floats.extend(row.into_iter().map(|bits| f16::from_bits(bits).to_f32()));
            }
        }
        floats.extend(self.device.download(out)?);
        Ok(Outputs { floats, words: self.device.download(counters)? })
    }

    fn expected(&self, _: usize, found: &Outputs) -> Cow<'_, Expected> {
        Cow::Owned(self.over(&found.floats))
    }
}
