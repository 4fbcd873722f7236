//! Attention of one token over a cache: heads, widths, positions and splits of many kinds.

use crate::kernels::{assert_near, bits, launch};
use crate::machine;
use cuda_sim::SimConfig;
use cuda_std::launch::LaunchConfig;
use half::f16;
use psionic::device::Device;
use psionic::kernel::{bounds, to_f64};
use psionic::random::Random;
use psionic_kernels::attention::{self, Shape};

const THETA: f64 = 1e4;
const EPS: f32 = 1e-2;

#[derive(Clone, Copy, Debug)]
struct Case {
    group: u32,
    kv_heads: u32,
    head_dim: u32,
    position: u32,
    /// Positions of the cache after this one.
    room: u32,
    splits: u32,
}

struct Inputs {
    qkv: Vec<f32>,
    q_norm: Vec<f32>,
    k_norm: Vec<f32>,
    keys: Vec<u16>,
    values: Vec<u16>,
}

struct Outputs {
    out: Vec<f32>,
    keys: Vec<u16>,
    values: Vec<u16>,
    counters: Vec<u32>,
}

impl Case {
    fn shape(&self) -> Shape {
        let context = self.position + 1 + self.room;
        Shape { kv_heads: self.kv_heads, group: self.group, head_dim: self.head_dim, context }
    }

    /// The cache is full of numbers, also where no position has been.
    fn inputs(&self, random: &mut Random) -> Inputs {
        let shape = self.shape();
        let (d, kv_heads) = (self.head_dim as usize, self.kv_heads as usize);
        let mut cache = || {
            let len = kv_heads * shape.context as usize * d;
            random.normals(len).into_iter().map(|v| f16::from_f32(v).to_bits()).collect::<Vec<_>>()
        };
        let (keys, values) = (cache(), cache());
        let qkv = random.normals((shape.heads() as usize + 2 * kv_heads) * d);
        Inputs { qkv, q_norm: random.norm_weights(d), k_norm: random.norm_weights(d), keys, values }
    }

    fn run(&self, device: &Device, inputs: &Inputs) -> Outputs {
        let shape = self.shape();
        let rope = attention::rope_table(THETA, self.head_dim as usize, shape.context as usize);
        let rope: Vec<f32> = rope.into_iter().flat_map(|pair| pair.0).collect();
        let rope = device.upload(&rope).unwrap();
        let qkv = device.upload(&inputs.qkv).unwrap();
        let (q_norm, k_norm) =
            (device.upload(&inputs.q_norm).unwrap(), device.upload(&inputs.k_norm).unwrap());
        let position = device.upload(&[self.position]).unwrap();
        let (keys, values) = (device.upload(&inputs.keys).unwrap(), device.upload(&inputs.values).unwrap());
        // What an earlier token has left there must not count.
        let partials = device.upload(&vec![f32::NAN; shape.partial_len(self.splits)]).unwrap();
        let counters = device.zeroed::<u32>(self.kv_heads as usize).unwrap();
        let out = device.upload(&vec![f32::NAN; (shape.heads() * self.head_dim) as usize]).unwrap();
        let args = attention::attention::Args {
            qkv: qkv.as_ptr(),
            q_norm: q_norm.as_ptr(),
            k_norm: k_norm.as_ptr(),
            eps: EPS,
            rope: rope.as_ptr().cast(),
            position: position.as_ptr(),
            keys: keys.as_mut_ptr().cast(),
            values: values.as_mut_ptr().cast(),
            shape,
            partials: partials.as_mut_ptr(),
            counters: counters.as_mut_ptr(),
            out: out.as_mut_ptr(),
        };
        let config = LaunchConfig::new((self.splits, self.kv_heads), attention::THREADS);
        // SAFETY: the buffers are as large as the shape and the splits demand.
        unsafe { launch(device, config.shared_bytes(shape.shared_bytes() as u32), args) };
        Outputs {
            out: device.download(&out).unwrap(),
            keys: device.download(&keys).unwrap(),
            values: device.download(&values).unwrap(),
            counters: device.download(&counters).unwrap(),
        }
    }

    fn check(&self, device: &Device, random: &mut Random) {
        let inputs = self.inputs(random);
        let found = self.run(device, &inputs);
        assert_eq!(found.counters, vec![0; self.kv_heads as usize], "{self:?}: the counters are zero again");
        self.check_cache(&inputs, &found);
        self.check_out(&inputs, &found);
        let again = self.run(device, &inputs);
        assert_eq!(bits(&again.out), bits(&found.out), "{self:?}: the second run is like the first");
    }

    /// The new key and value are in their place, and everything else is as it was.
    fn check_cache(&self, inputs: &Inputs, found: &Outputs) {
        let (d, heads, position) =
            (self.head_dim as usize, self.shape().heads() as usize, self.position as usize);
        let (eps, k_norm) = (EPS.into(), to_f64(&inputs.k_norm));
        let (mut keys, mut values) = (inputs.keys.clone(), inputs.values.clone());
        for kv_head in 0..self.kv_heads as usize {
            let start = (kv_head * self.shape().context as usize + position) * d;
            let k = to_f64(&inputs.qkv[(heads + kv_head) * d..][..d]);
            let v = &inputs.qkv[(heads + self.kv_heads as usize + kv_head) * d..][..d];
            for (i, expected) in
                attention::reference_head(&k, &k_norm, eps, THETA, position).iter().enumerate()
            {
                let new = f64::from(f16::from_bits(found.keys[start + i]));
                let bound = bounds::attention_key(*expected);
                assert!(
                    (new - expected).abs() <= bound,
                    "{self:?}, key {kv_head}, {i}: {new}, expected {expected}"
                );
                keys[start + i] = found.keys[start + i];
                values[start + i] = f16::from_f32(v[i]).to_bits();
            }
        }
        assert!(found.keys == keys, "{self:?}: a key that is not the new one was changed");
        assert!(found.values == values, "{self:?}: the values are not those before and the new one");
    }

    fn check_out(&self, inputs: &Inputs, found: &Outputs) {
        let (d, group) = (self.head_dim as usize, self.group as usize);
        let context = self.shape().context as usize;
        let (eps, q_norm) = (EPS.into(), to_f64(&inputs.q_norm));
        // Over the cache as it is stored, so that the rounding to half precision does not count.
        let rows = |cache: &[u16], kv_head: usize| -> Vec<Vec<f64>> {
            let rows = cache[kv_head * context * d..].chunks(d).take(self.position as usize + 1);
            rows.map(|row| row.iter().map(|bits| f64::from(f16::from_bits(*bits))).collect()).collect()
        };
        for kv_head in 0..self.kv_heads as usize {
            let (keys, values) = (rows(&found.keys, kv_head), rows(&found.values, kv_head));
            let largest = values.iter().flatten().fold(0.0, |a: f64, v| a.max(v.abs()));
            for head in kv_head * group..(kv_head + 1) * group {
                let q = to_f64(&inputs.qkv[head * d..][..d]);
                let q = attention::reference_head(&q, &q_norm, eps, THETA, self.position as usize);
                let expected = attention::reference(&q, &keys, &values);
                let bounds = vec![bounds::attention(largest); d];
                assert_near(
                    &found.out[head * d..][..d],
                    &expected,
                    &bounds,
                    &format!("{self:?}, head {head}"),
                );
            }
        }
    }
}

/// Each size with each other, and each position and number of splits with each size.
#[test]
fn attention_of_any_shape() {
    let device = machine::device();
    let mut random = Random::new(80);
    let positions = [0, 1, 31, 32, 33, 100, 777];
    let splits = [1, 2, 3, 7, 16, 64];
    let mut turn = 0;
    for group in [1, 2, 3, 4, 5, 8, 16] {
        for head_dim in [32, 64, 96, 128, 256] {
            let kv_heads = 1 + turn as u32 % 3;
            let (position, splits) = (positions[turn % positions.len()], splits[turn % splits.len()]);
            let room = [0, 5][turn % 2];
            Case { group, kv_heads, head_dim, position, room, splits }.check(&device, &mut random);
            turn += 1;
        }
        // So that the lists do not go round in step.
        turn += 1;
    }
}

#[test]
fn every_position_around_the_ends_of_splits() {
    let device = machine::device();
    let mut random = Random::new(81);
    for position in (0..6).chain(30..36).chain(62..68).chain(95..98) {
        for splits in [1, 2, 5, 16] {
            let case = Case { group: 2, kv_heads: 1, head_dim: 32, position, room: 1, splits };
            case.check(&device, &mut random);
        }
    }
}

/// One score far above all others, and all far below zero: the softmax neither overflows nor vanishes.
#[test]
fn scores_of_any_size() {
    let device = machine::device();
    for (factor, splits) in [(30.0, 1), (30.0, 4), (-30.0, 4), (1000.0, 3), (0.0, 3)] {
        let case = Case { group: 2, kv_heads: 1, head_dim: 64, position: 100, room: 0, splits };
        let mut inputs = case.inputs(&mut Random::new(82));
        // The norm weights of the queries are the size of the scores.
        inputs.q_norm.iter_mut().for_each(|w| *w = factor);
        let found = case.run(&device, &inputs);
        let (keys, values) = (&found.keys, &found.values);
        let to_rows = |cache: &[u16]| -> Vec<Vec<f64>> {
            cache.chunks(64).map(|row| row.iter().map(|b| f64::from(f16::from_bits(*b))).collect()).collect()
        };
        for head in 0..2 {
            let q = to_f64(&inputs.qkv[head * 64..][..64]);
            let q = attention::reference_head(&q, &to_f64(&inputs.q_norm), EPS.into(), THETA, 100);
            let expected = attention::reference(&q, &to_rows(keys), &to_rows(values));
            // A score's error grows with its size, and is a weight's relative error.
            let bounds = vec![1e-6 * (3.0 + f64::from(factor.abs())); 64];
            assert_near(
                &found.out[head * 64..][..64],
                &expected,
                &bounds,
                &format!("factor {factor}, {splits} splits"),
            );
        }
    }
}

/// The order in which blocks, warps and lanes run decides nothing.
#[test]
fn the_order_of_the_simulator_does_not_matter() {
    for (group, head_dim, position, splits) in
        [(2, 128, 200, 7), (5, 64, 777, 16), (1, 32, 33, 2), (16, 256, 70, 3)]
    {
        let case = Case { group, kv_heads: 2, head_dim, position, room: 3, splits };
        let inputs = case.inputs(&mut Random::new(83));
        let run = |seed| {
            let device = Device::simulated(SimConfig { seed, ..SimConfig::default() });
            let Outputs { out, keys, values, counters } = case.run(&device, &inputs);
            (bits(&out), keys, values, counters)
        };
        let natural = run(0);
        for seed in 1..=4 {
            assert!(run(seed) == natural, "{case:?}: seed {seed} gives something else");
        }
    }
}
