//! Heat along a rod: many steps in one launch, with a barrier of the grid after each.

use cuda_std::launch::LaunchConfig;
use example_kernels::grid_barrier::diffuse;
use examples::{Outcome, check, device, noise};

fn main() -> Outcome {
    const N: usize = 1000;
    const STEPS: u32 = 20;
    const THREADS: u32 = 64;
    let device = device()?;
    let start = noise(N, 1);
    let (even, odd, counter) = (device.upload(&start)?, device.upload(&start)?, device.zeroed::<u32>(1)?);
    // ANCHOR: launch
    let args = diffuse::Args {
        even: even.as_mut_ptr(),
        odd: odd.as_mut_ptr(),
        len: N as u32,
        steps: STEPS,
        counter: counter.as_mut_ptr(),
    };
    // Blocks that wait for each other must all be there: no more than the device holds at once.
    let blocks =
        device.resident_blocks::<diffuse::Args>(THREADS, 0)?.min(N.div_ceil(THREADS as usize) as u32);
    // SAFETY: the buffers are as demanded, and live until the download; the launch is cooperative.
    unsafe { device.launch(LaunchConfig::new(blocks, THREADS).cooperative(), args) }?;
    // ANCHOR_END: launch

    let mut rod: Vec<f64> = start.into_iter().map(f64::from).collect();
    for _ in 0..STEPS {
        let inner = rod.windows(3).map(|three| 0.25 * three[0] + 0.5 * three[1] + 0.25 * three[2]);
        rod = [vec![rod[0]], inner.collect(), vec![rod[N - 1]]].concat();
    }
    let result = if STEPS.is_multiple_of(2) { even } else { odd };
    check("rod", &device.download(&result)?, |i| rod[i], 1e-6)
}
