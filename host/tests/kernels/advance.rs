//! The step to the next position.

use crate::kernels::launch;
use crate::machine;
use cuda_std::launch::LaunchConfig;
use psionic::device::Device;
use psionic::random::Random;
use psionic_kernels::advance;
use psionic_kernels::argmax::THREADS;

/// Tokens and position after the step from `position` among ten tokens.
fn advance(device: &Device, candidates: &[(f32, u32)], position: u32) -> (Vec<u32>, u32) {
    let words: Vec<u32> = candidates.iter().flat_map(|(value, index)| [value.to_bits(), *index]).collect();
    // One better than all, which is no candidate.
    let best = device.upload(&[&words[..], &[f32::MAX.to_bits(), 77]].concat()).unwrap();
    let tokens = device.upload(&(100..110).collect::<Vec<u32>>()).unwrap();
    let position = device.upload(&[position]).unwrap();
    let args = advance::advance::Args {
        best: best.as_ptr().cast(),
        candidates: candidates.len() as u32,
        tokens: tokens.as_mut_ptr(),
        position: position.as_mut_ptr(),
    };
    // SAFETY: `best` has the candidates, and `tokens` a place after the position.
    unsafe { launch(device, LaunchConfig::new(1, THREADS), args) };
    (device.download(&tokens).unwrap(), device.download(&position).unwrap()[0])
}

#[test]
fn without_candidates_the_token_is_known() {
    let device = machine::device();
    for position in [0, 8] {
        assert_eq!(advance(&device, &[], position), ((100..110).collect(), position + 1));
    }
}

#[test]
fn the_best_candidate_is_the_next_token() {
    let device = machine::device();
    let mut random = Random::new(70);
    for count in [1, 2, 128, 255, 257, 1000] {
        // Few values, so that there are ties; indices in any order.
        let candidates: Vec<_> =
            (0..count).map(|_| (random.below(5) as f32, random.below(1 << 20) as u32)).collect();
        let largest = candidates.iter().map(|c| c.0).fold(f32::MIN, f32::max);
        let lowest = candidates.iter().filter(|c| c.0 == largest).map(|c| c.1).min().unwrap();
        for position in [0, 4, 8] {
            let mut tokens: Vec<u32> = (100..110).collect();
            tokens[position as usize + 1] = lowest;
            assert_eq!(advance(&device, &candidates, position), (tokens, position + 1), "{count} candidates");
        }
    }
}

#[test]
fn no_number_at_all_gives_a_token_that_there_is() {
    let device = machine::device();
    let nothing = (f32::NEG_INFINITY, u32::MAX);
    assert_eq!(advance(&device, &[nothing; 5], 0).0[1], 0);
}
