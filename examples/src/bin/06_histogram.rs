//! How often each byte occurs.

use cuda_std::launch::LaunchConfig;
use example_kernels::histogram::{BINS, histogram};
use examples::{Outcome, bytes, device};

fn main() -> Outcome {
    const N: usize = 60_000;
    let device = device()?;
    // Low bytes are more frequent: many threads then add to the same count.
    let bytes: Vec<u8> = bytes(N, 1).into_iter().zip(bytes(N, 2)).map(|(a, b)| a.min(b)).collect();
    let (on_bytes, on_counts) = (device.upload(&bytes)?, device.zeroed::<u32>(BINS)?);
    let args = histogram::Args { bytes: on_bytes.as_slice(), counts: on_counts.as_mut_ptr() };
    // SAFETY: the counts have a bin for each byte, and live until the download.
    unsafe { device.launch(LaunchConfig::new(8, 256), args) }?;
    let counts = device.download(&on_counts)?;
    for (byte, &count) in counts.iter().enumerate() {
        let expected = bytes.iter().filter(|&&b| usize::from(b) == byte).count();
        if count as usize != expected {
            return Err(format!("byte {byte} was counted {count} times and is there {expected} times").into());
        }
    }
    println!("counts: {BINS} bins, {} bytes, all exact", counts.iter().sum::<u32>());
    Ok(())
}
