//! Rows of tiles, multiplied as the engine does, against the blocks that they were made of.

use ::half::f16;
use cuda_sim::SimConfig;
use cuda_std::launch::LaunchConfig;
use cuda_std::prelude::*;
use psionic_kernels::activation::{Vector, shared_bytes};
use psionic_kernels::persistent::tile::{Q4K, Q6K, Q8_0, Tile};

use super::{BLOCK, Code, ROWS, kind, put_block};
use crate::device::Device;
use crate::quant::{QuantType, dequantize};
use crate::random::Random;

/// Multiplies a tile with 256 activations: each lane's part of its two rows. One warp, with dynamic shared memory for the
/// activations and the tile.
#[kernel]
unsafe fn parts(code: u32, tile: *const u32, x: *const f32, out: *mut [f32; 2]) {
    let (lane, code) = (warp::lane_id(), Code(code));
    // SAFETY: the launch passes a tile of this kind, 256 activations and a result for each lane.
    unsafe {
        let input = Vector::quantize(x, core::ptr::null(), 0.0, BLOCK);
        let shared = shared::Slice::<u8>::dynamic(shared_bytes(BLOCK), code.bytes() as usize);
        for i in (lane as usize..code.bytes() as usize / 4).step_by(32) {
            shared.cast::<u32>().set(i, tile.add(i).read());
        }
        thread::sync_threads();
        let parts = match code {
            Code::Q4K => Q4K::load(shared, lane).dot(&Q4K::columns(input, 0, lane), lane),
            Code::Q6K => Q6K::load(shared, lane).dot(&Q6K::columns(input, 0, lane), lane),
            _ => Q8_0::load(shared, lane).dot(&Q8_0::columns(input, 0, lane), lane),
        };
        out.add(lane as usize).write(parts);
    }
}

/// Any 256 weights of a format, but for factors near one of either sign.
fn block(quant: QuantType, random: &mut Random) -> Vec<u8> {
    let (bytes, factors): (_, Vec<usize>) = match quant {
        QuantType::Q4K => (144, vec![0, 2]),
        QuantType::Q6K => (210, vec![208]),
        _ => (272, (0..8).map(|i| 34 * i).collect()),
    };
    let mut block = random.bytes(bytes);
    for at in factors {
        let factor = random.signed();
        let factor = f16::from_f32(factor + factor.signum());
        block[at..at + 2].copy_from_slice(&factor.to_le_bytes());
    }
    block
}

#[test]
fn a_tile_multiplies_as_the_blocks_in_it() {
    let device = Device::simulated(SimConfig::default());
    let mut random = Random::new(95);
    for quant in [QuantType::Q4K, QuantType::Q6K, QuantType::Q8_0] {
        let code = Code::of(kind(quant)).unwrap();
        for _ in 0..4 {
            let rows: Vec<_> = (0..ROWS).map(|_| block(quant, &mut random)).collect();
            let mut tile = vec![0; code.bytes() as usize];
            for (row, block) in rows.iter().enumerate() {
                put_block(kind(quant), block, row, &mut tile);
            }
            // Activations that are their codes, times a scale that each 32 have; none is small, so each weight counts.
            let mut x = Vec::new();
            for group in 0..BLOCK / 32 {
                let scale = 0.01 * (1.0 + group as f32);
                let mut codes = [127.0; 32].map(|most: f32| most - random.below(96) as f32);
                codes[random.below(32)] = 127.0;
                x.extend(codes.map(|code| scale * code * random.signed().signum()));
            }
            let (on_device, activations) = (device.upload(&tile).unwrap(), device.upload(&x).unwrap());
            let out = device.zeroed::<[f32; 2]>(32).unwrap();
            let shared = shared_bytes(BLOCK) as u32 + code.bytes();
            let args = parts::Args {
                code: code.0,
                tile: on_device.as_ptr().cast(),
                x: activations.as_ptr(),
                out: out.as_mut_ptr(),
            };
            // SAFETY: a warp, with what the kernel asks for.
            unsafe { device.launch(LaunchConfig::new(1, 32).shared_bytes(shared), args) }.unwrap();
            let parts = device.download(&out).unwrap();
            for (row, block) in rows.iter().enumerate() {
                let seen: f64 = (0..4).map(|t| f64::from(parts[row % 8 * 4 + t][row / 8])).sum();
                let mut weights = vec![0.0; BLOCK];
                dequantize(quant, block, &mut weights);
                let products = weights.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                let size: f64 = products.clone().map(f64::abs).sum();
                let error = (seen - products.sum::<f64>()).abs() / size;
                // A code that is off by one is some hundred times as much; all the roundings are a twentieth.
                assert!(error < 1e-6, "{quant:?}, row {row}: off by {error}");
            }
        }
    }
}
