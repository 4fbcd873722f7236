//! Three ways to multiply a matrix in Q4_K, the format of most language models, with their rates on a GPU.

use std::time::Duration;

use cuda_device::{Backend, Device, DeviceError};
use cuda_std::f16;
use cuda_std::launch::{KernelArgs, LaunchConfig};
use example_kernels::q4k_matvec::{
    BLOCK, BLOCK_BYTES, CHUNK, GROUP, q4k_integers, q4k_naive, q4k_warp, weight,
};
use examples::{Outcome, bytes, check, device, noise, quantise};

/// Columns of the matrix.
const COLUMNS: usize = 4096;
const ROW_BYTES: usize = COLUMNS / BLOCK * BLOCK_BYTES;
/// Rows that are compared with the plain computation.
const CHECKED: usize = 32;

/// Blocks of random codes and scales, with small factors.
fn matrix(rows: usize) -> Vec<u8> {
    let mut matrix = bytes(rows * ROW_BYTES, 1);
    for (i, block) in matrix.chunks_exact_mut(BLOCK_BYTES).enumerate() {
        let factor = f16::from_f32(1e-4 * (1 + i % 7) as f32).to_le_bytes();
        block[..4].copy_from_slice(&[factor, factor].concat());
    }
    matrix
}

/// The shortest of a few launches.
fn fastest<K: KernelArgs + 'static>(
    device: &Device,
    config: LaunchConfig,
    args: K,
) -> Result<Duration, DeviceError> {
    // SAFETY: as for the caller's own launch of the same arguments.
    let launch = || unsafe { device.launch(config, args) };
    let times = (0..5).map(|_| device.time(launch)).collect::<Result<Vec<_>, _>>()?;
    Ok(times.into_iter().min().unwrap_or_default())
}

fn main() -> Outcome {
    let device = device()?;
    let gpu = device.info().backend == Backend::Cuda;
    // More than a cache holds, where that can be measured.
    let rows = if gpu { 1 << 16 } else { CHECKED };
    let (w, x) = (matrix(rows), noise(COLUMNS, 2));
    let (codes, scales) = quantise(&x, GROUP);
    let (on_w, on_x) = (device.upload(&w)?, device.upload(&x)?);
    let (on_codes, on_scales) = (device.upload(&codes)?, device.upload(&scales)?);
    let y = device.zeroed::<f32>(rows)?;

    let (weights, chunks, out) = (on_w.as_ptr(), (COLUMNS / CHUNK) as u32, y.as_mut_ptr());
    let naive = q4k_naive::Args { weights: on_w.as_slice(), x: on_x.as_slice(), y: out };
    let warp = q4k_warp::Args { weights, chunks, x: on_x.as_ptr(), y: out };
    let integers = q4k_integers::Args {
        weights,
        chunks,
        x: on_codes.as_ptr().cast(),
        x_scales: on_scales.as_ptr(),
        y: out,
    };
    let by_thread = LaunchConfig::new(rows.div_ceil(128) as u32, 128);
    let by_warp = LaunchConfig::new(rows as u32 / 8, 256);

    let value =
        |row: usize, i: usize| f64::from(weight(&w[row * ROW_BYTES + i / BLOCK * BLOCK_BYTES..], i % BLOCK));
    let exact = |row: usize| (0..COLUMNS).map(|i| value(row, i) * f64::from(x[i])).sum();
    let rounded = |i: usize| f64::from(codes[i]) * f64::from(scales[i / GROUP]);
    let of_codes = |row: usize| (0..COLUMNS).map(|i| value(row, i) * rounded(i)).sum();
    let finish = |name: &str, time: Duration, expected: &dyn Fn(usize) -> f64| -> Outcome {
        check(name, &device.download(&y)?[..CHECKED], expected, 1e-3)?;
        if gpu {
            println!("  {:.0} GB/s", w.len() as f64 / time.as_secs_f64() / 1e9);
        }
        Ok(())
    };
    finish("naive", fastest(&device, by_thread, naive)?, &exact)?;
    finish("warp", fastest(&device, by_warp, warp)?, &exact)?;
    finish("integers", fastest(&device, by_warp, integers)?, &of_codes)
}
