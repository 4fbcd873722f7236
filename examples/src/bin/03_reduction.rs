//! A sum in two launches of one kernel: the blocks' sums, then the sum of those.

use cuda_std::launch::LaunchConfig;
use example_kernels::reduction::{THREADS, sum};
use examples::{Outcome, check, device, noise};

fn main() -> Outcome {
    const N: usize = 100_000;
    const BLOCKS: u32 = 16;
    let device = device()?;
    let x = noise(N, 1);
    let on_x = device.upload(&x)?;
    let (of_blocks, of_all) = (device.zeroed::<f32>(BLOCKS as usize)?, device.zeroed::<f32>(1)?);
    let first = sum::Args { x: on_x.as_slice(), sums: of_blocks.as_mut_ptr() };
    let second = sum::Args { x: of_blocks.as_slice(), sums: of_all.as_mut_ptr() };
    // SAFETY: a sum for each block of each launch; the second begins when the first has ended.
    unsafe {
        device.launch(LaunchConfig::new(BLOCKS, THREADS), first)?;
        device.launch(LaunchConfig::new(1, THREADS), second)?;
    }
    let exact: f64 = x.iter().map(|&x| f64::from(x)).sum();
    check("sum", &device.download(&of_all)?, |_| exact, 1e-3)
}
