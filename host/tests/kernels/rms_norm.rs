//! RMS normalisation on its own.

use crate::kernels::{assert_near, launch};
use crate::machine;
use cuda_std::launch::LaunchConfig;
use psionic::kernel::{bounds, to_f64};
use psionic::random::Random;
use psionic_kernels::rms_norm;

fn check(n: usize, threads: u32, eps: f32, size: f32, random: &mut Random) {
    let device = machine::device();
    let x: Vec<f32> = random.normals(n).iter().map(|v| size * v).collect();
    let weight = random.norm_weights(n);
    let (x_buffer, weight_buffer) = (device.upload(&x).unwrap(), device.upload(&weight).unwrap());
    let out = device.upload(&vec![f32::MAX; n + 1]).unwrap();
    let args = rms_norm::rms_norm::Args {
        x: x_buffer.as_ptr(),
        weight: weight_buffer.as_ptr(),
        eps,
        n: n as u32,
        out: out.as_mut_ptr(),
    };
    // SAFETY: all have `n` elements, and the block is of whole warps.
    unsafe { launch(&device, LaunchConfig::new(1, threads), args) };
    let found = device.download(&out).unwrap();
    assert_eq!(found[n], f32::MAX, "nothing is written beyond the output");
    let expected = rms_norm::reference(&to_f64(&x), &to_f64(&weight), eps.into());
    let bounds: Vec<_> = expected.iter().map(|v| bounds::rms_norm(*v, n, threads)).collect();
    assert_near(
        &found[..n],
        &expected,
        &bounds,
        &format!("{n} elements of {size}, {threads} threads, eps {eps}"),
    );
}

#[test]
fn any_length_and_any_block() {
    let mut random = Random::new(50);
    for n in [1, 2, 31, 33, 100, 1027, 2560] {
        for threads in [32, 96, 256, 1024] {
            check(n, threads, 1e-6, 1.0, &mut random);
        }
    }
}

#[test]
fn eps_counts_where_activations_are_small() {
    let mut random = Random::new(51);
    for (eps, size) in [(1e-6, 1e-3), (1e-5, 1e-3), (1e-2, 0.1), (1e-6, 0.0), (1e-6, 1e6)] {
        check(515, 256, eps, size, &mut random);
    }
}
