//! What the examples share: a device with their kernels, input data, and the comparison of results.

use std::env;
use std::error::Error;

use cuda_device::{BackendChoice, Device, Program};

/// How an example ends.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The kernels of all examples, compiled by `build.rs`.
pub static KERNELS: Program = cuda_device::program!();

/// The GPU if there is one, otherwise the simulator. The example's first argument may say which: `cuda` or `sim`.
///
/// # Errors
/// When that device cannot be used, or the argument is something else.
pub fn device() -> Outcome<Device> {
    let choice = match env::args().nth(1).as_deref() {
        None => BackendChoice::Auto,
        Some("cuda") => BackendChoice::Cuda,
        Some("sim") => BackendChoice::Sim,
        Some(other) => return Err(format!("the device is `cuda` or `sim`, not `{other}`").into()),
    };
    let device = Device::open(choice, &KERNELS)?;
    eprintln!("on the {}", device.info().name);
    Ok(device)
}

/// `count` numbers from -1 to 1 that look random and are the same every time.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    words(count, seed).map(|word| (word >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// `count` bytes that look random and are the same every time.
pub fn bytes(count: usize, seed: u32) -> Vec<u8> {
    words(count, seed).map(|word| (word >> 24) as u8).collect()
}

/// 8-bit codes of numbers, and a scale for each group: the greatest of a group gets the code 127 or -127.
pub fn quantise(numbers: &[f32], group: usize) -> (Vec<i8>, Vec<f32>) {
    let greatest = |group: &[f32]| group.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let scales: Vec<f32> = numbers.chunks(group).map(|group| greatest(group) / 127.0).collect();
    let codes = numbers.iter().enumerate().map(|(i, x)| (x / scales[i / group]).round() as i8);
    (codes.collect(), scales)
}

fn words(count: usize, seed: u32) -> impl Iterator<Item = u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    (0..count).map(move |_| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    })
}

/// Compares every element with what a plain computation in `f64` gives, and prints the greatest difference.
///
/// # Errors
/// When an element is further off than `tolerance`, or is not a number.
pub fn check(name: &str, seen: &[f32], expected: impl Fn(usize) -> f64, tolerance: f64) -> Outcome {
    let mut greatest = 0.0f64;
    for (i, &seen) in seen.iter().enumerate() {
        let expected = expected(i);
        let difference = (f64::from(seen) - expected).abs();
        if difference.is_nan() || difference > tolerance {
            return Err(format!(
                "{name}[{i}] is {seen} and should be {expected}, within {tolerance:e}: the kernel computes something else"
            )
            .into());
        }
        greatest = greatest.max(difference);
    }
    println!("{name}: {} elements, at most {greatest:.1e} off", seen.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        assert!(check("c", &[1.0, 2.0], |i| i as f64 + 1.0, 0.0).is_ok());
        let wrong = check("c", &[1.0, 2.5], |i| i as f64 + 1.0, 0.1).unwrap_err().to_string();
        assert!(wrong.starts_with("c[1] is 2.5 and should be 2, within 1e-1"), "{wrong}");
        assert!(check("c", &[f32::NAN], |_| 0.0, 1.0).is_err());
    }

    #[test]
    fn numbers_lie_around_zero() {
        let numbers = noise(10_000, 3);
        assert!(numbers.iter().all(|x| (-1.0..=1.0).contains(x)));
        assert!((numbers.iter().sum::<f32>() / 10_000.0).abs() < 0.05);
    }
}
