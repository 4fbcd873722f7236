//! A matrix of 8-bit weights with a scale for each group of 32, times a vector of the same kind.

use cuda_std::launch::LaunchConfig;
use example_kernels::int8_matvec::{GROUP, matvec};
use examples::{Outcome, check, device, noise, quantise};

fn main() -> Outcome {
    const ROWS: usize = 96;
    const COLUMNS: usize = 50 * GROUP;
    const ROWS_PER_BLOCK: usize = 8;
    let device = device()?;
    let (w, w_scales) = quantise(&noise(ROWS * COLUMNS, 1), GROUP);
    let (x, x_scales) = quantise(&noise(COLUMNS, 2), GROUP);
    let (on_w, on_w_scales) = (device.upload(&w)?, device.upload(&w_scales)?);
    let (on_x, on_x_scales) = (device.upload(&x)?, device.upload(&x_scales)?);
    let y = device.zeroed::<f32>(ROWS)?;
    let args = matvec::Args {
        codes: on_w.as_ptr().cast(),
        scales: on_w_scales.as_ptr(),
        x_codes: on_x.as_ptr().cast(),
        x_scales: on_x_scales.as_ptr(),
        groups: (COLUMNS / GROUP) as u32,
        y: y.as_mut_ptr(),
    };
    let config = LaunchConfig::new((ROWS / ROWS_PER_BLOCK) as u32, 32 * ROWS_PER_BLOCK as u32);
    // SAFETY: the buffers are as demanded, with a warp for each row, and live until the download.
    unsafe { device.launch(config, args) }?;
    let value = |codes: &[i8], scales: &[f32], i: usize| f64::from(codes[i]) * f64::from(scales[i / GROUP]);
    let exact =
        |row| (0..COLUMNS).map(|i| value(&w, &w_scales, row * COLUMNS + i) * value(&x, &x_scales, i)).sum();
    check("y", &device.download(&y)?, exact, 1e-4)
}
