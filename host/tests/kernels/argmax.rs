//! The largest logit: the blocks' best, and the best of those.

use crate::kernels::launch;
use crate::machine;
use cuda_std::launch::LaunchConfig;
use psionic::device::Device;
use psionic::random::Random;
use psionic_kernels::argmax::{Best, THREADS};
use psionic_kernels::{advance, argmax};

/// The token that both kernels choose.
fn choose(device: &Device, logits: &[f32], blocks: u32) -> u32 {
    let buffer = device.upload(logits).unwrap();
    let best = device.upload(&vec![u64::MAX; blocks as usize]).unwrap();
    let (tokens, position) = (device.zeroed::<u32>(2).unwrap(), device.zeroed::<u32>(1).unwrap());
    let (n, best_pointer) = (logits.len() as u32, best.as_mut_ptr().cast::<Best>());
    let args = argmax::argmax::Args { logits: buffer.as_ptr(), n, best: best_pointer };
    // SAFETY: the buffers have `n` logits and an element for each block.
    unsafe { launch(device, LaunchConfig::new(blocks, THREADS), args) };
    let args = advance::advance::Args {
        best: best_pointer.into(),
        candidates: blocks,
        tokens: tokens.as_mut_ptr(),
        position: position.as_mut_ptr(),
    };
    // SAFETY: there are as many candidates as blocks, and a place for the new token.
    unsafe { launch(device, LaunchConfig::new(1, THREADS), args) };
    device.download(&tokens).unwrap()[1]
}

fn check(device: &Device, logits: &[f32], what: &str) {
    for blocks in [1, 3, 128] {
        assert_eq!(
            choose(device, logits, blocks),
            argmax::reference(logits) as u32,
            "{what}, {} logits, {blocks} blocks",
            logits.len()
        );
    }
}

#[test]
fn the_largest_of_random_logits() {
    let device = machine::device();
    let mut random = Random::new(60);
    for n in [1, 2, 31, 255, 257, 1000, 33_001] {
        let mut logits = random.normals(n);
        check(&device, &logits, "random");
        let place = random.below(n);
        logits[place] = 100.0;
        check(&device, &logits, "one stands out");
        assert_eq!(argmax::reference(&logits), place);
        logits.iter_mut().for_each(|v| *v -= 1000.0);
        check(&device, &logits, "all negative");
    }
}

#[test]
fn the_lowest_of_equal_ones() {
    let device = machine::device();
    let mut random = Random::new(61);
    for n in [2, 257, 5003] {
        check(&device, &vec![-3.5; n], "all equal");
        check(&device, &vec![f32::NEG_INFINITY; n], "all infinitely small");
        check(
            &device,
            &(0..n).map(|i| if i % 2 == 0 { -0.0 } else { 0.0 }).collect::<Vec<_>>(),
            "zeros of both signs",
        );
        for _ in 0..4 {
            // Ten values for all places: each is there many times.
            let logits: Vec<f32> = (0..n).map(|_| random.below(10) as f32).collect();
            check(&device, &logits, "many equal ones");
        }
    }
}

#[test]
fn what_is_no_number_is_not_chosen() {
    let device = machine::device();
    let mut random = Random::new(62);
    for n in [1, 300, 5003] {
        check(&device, &vec![f32::NAN; n], "no number");
        let mut logits = random.normals(n);
        logits.iter_mut().step_by(3).for_each(|v| *v = f32::NAN);
        check(&device, &logits, "every third no number");
        logits[n / 2] = f32::INFINITY;
        check(&device, &logits, "an infinite one");
        let mut last = vec![f32::NAN; n];
        last[n - 1] = f32::NEG_INFINITY;
        check(&device, &last, "the last alone is a number");
    }
}
