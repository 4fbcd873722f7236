//! Whole models against an independent float64 forward pass: logits, greedy tokens, likelihoods, divergences.
//!
//! On the simulator, or on a GPU with `PSIONIC_TEST_BACKEND=cuda`.

use std::ops::ControlFlow;

use psionic::decode::{Activations, Decoder, DecoderOptions};
use psionic::gguf::GgufFile;
use psionic::model::Model;
use serde::Deserialize;

use crate::{fixture, machine, reference};

/// Below this margin between the two best logits, rounding may decide.
const NARROW: f64 = 0.5;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    nll: Nll,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    prompt_token_ids: Vec<u32>,
    greedy_token_ids: Vec<u32>,
    greedy_margin: Vec<f64>,
    last_prompt_logits_first16: Vec<f64>,
    last_prompt_top5: Vec<(usize, f64)>,
}

#[derive(Deserialize)]
struct Nll {
    token_ids: Vec<u32>,
    mean_nll: f64,
    per_token_nll_first64: Vec<f64>,
}

fn load(name: &str, activations: Activations) -> (Decoder, Golden) {
    let file = GgufFile::open(&fixture(&format!("models/{name}.gguf"))).expect("the fixture opens");
    let model = Model::from_gguf(&file).expect("the fixture is a model");
    let options = DecoderOptions { context: Some(1100), activations, ..DecoderOptions::default() };
    let decoder =
        Decoder::load(machine::device(), &model, &options, &mut |_, _| {}).expect("the fixture loads");
    let golden =
        std::fs::read(fixture(&format!("models/{name}.golden.json"))).expect("the golden values are there");
    (decoder, serde_json::from_slice(&golden).expect("the golden values parse"))
}

/// The logits that the golden file has, ours beside its.
fn pairs(case: &Case, logits: &[f32]) -> Vec<(f64, f64)> {
    let first = case.last_prompt_logits_first16.iter().copied().enumerate();
    first
        .chain(case.last_prompt_top5.iter().copied())
        .map(|(i, golden)| (f64::from(logits[i]), golden))
        .collect()
}

/// The root of the mean square of the differences over that of the golden values.
fn relative_rms(pairs: &[(f64, f64)]) -> f64 {
    let difference: f64 = pairs.iter().map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = pairs.iter().map(|(_, b)| b.powi(2)).sum();
    (difference / size).sqrt()
}

fn check_logits(name: &str, activations: Activations, bound: f64) {
    let (mut decoder, golden) = load(name, activations);
    let mut all = Vec::new();
    for case in &golden.cases {
        decoder.reset();
        decoder.feed(&case.prompt_token_ids).unwrap();
        let logits = decoder.logits().unwrap();
        assert_eq!(logits.len(), decoder.config().vocab);
        all.extend(pairs(case, &logits));
    }
    let rms = relative_rms(&all);
    println!("{name} {activations:?}: relative rms {rms:.6}");
    assert!(rms < bound, "relative rms {rms} of {} logits, the bound is {bound}", all.len());
}

fn check_greedy(name: &str, activations: Activations) {
    let (mut decoder, golden) = load(name, activations);
    for case in &golden.cases {
        let wide = case.greedy_margin.iter().position(|m| *m < NARROW).unwrap_or(case.greedy_margin.len());
        decoder.reset();
        decoder.feed(&case.prompt_token_ids).unwrap();
        let tokens = decoder.generate(wide, &[], &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(tokens, case.greedy_token_ids[..wide], "after {:?}", case.text);
    }
}

/// The natural logarithms of the probabilities.
fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = max + logits.iter().map(|l| (l - max).exp()).sum::<f64>().ln();
    logits.iter().map(|l| l - sum).collect()
}

fn widen(logits: &[f32]) -> Vec<f64> {
    logits.iter().copied().map(f64::from).collect()
}

/// The Kullback-Leibler divergence of `found` from `expected`, in nats.
fn divergence(expected: &[f64], found: &[f64]) -> f64 {
    let (p, q) = (log_softmax(expected), log_softmax(found));
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn largest(logits: &[f64]) -> Option<usize> {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
}

/// The mean over all tokens on a GPU, over the first 64 on the simulator.
fn check_nll(name: &str, activations: Activations) {
    let (mut decoder, golden) = load(name, activations);
    let (count, expected) = if machine::is_gpu() {
        (golden.nll.token_ids.len() - 1, golden.nll.mean_nll)
    } else {
        let first = &golden.nll.per_token_nll_first64;
        (first.len(), first.iter().sum::<f64>() / first.len() as f64)
    };
    let mut sum = 0.0;
    for pair in golden.nll.token_ids.windows(2).take(count) {
        decoder.feed(&pair[..1]).unwrap();
        let logits = decoder.logits().unwrap();
        sum -= log_softmax(&widen(&logits))[pair[1] as usize];
    }
    let mean = sum / count as f64;
    println!("{name} {activations:?}: mean nll {mean:.6} over {count} tokens, float64 has {expected:.6}");
    assert!((mean - expected).abs() < 0.005 * expected, "mean nll {mean}, float64 has {expected}");
}

/// How far the distributions are from float64's, after every token on a GPU, after the first 64 on the simulator. The
/// golden file has no whole distributions: the tests' own forward pass, which must agree with it, gives them.
fn check_divergence(name: &str, activations: Activations, bound: f64) {
    let (mut decoder, golden) = load(name, activations);
    let Nll { token_ids, per_token_nll_first64: first, .. } = &golden.nll;
    let count = if machine::is_gpu() { token_ids.len() - 1 } else { first.len() };
    let file = GgufFile::open(&fixture(&format!("models/{name}.gguf"))).unwrap();
    let exact = reference::forward(&Model::from_gguf(&file).unwrap(), &token_ids[..count], reference::EXACT);
    for (i, nll) in first.iter().enumerate() {
        let own = -log_softmax(&exact[i])[token_ids[i + 1] as usize];
        assert!((own - nll).abs() < 1e-5, "token {i}: the reference has {own}, the golden file {nll}");
    }
    let (mut sum, mut most, mut same) = (0.0, 0f64, 0);
    for (token, exact) in token_ids.iter().zip(&exact) {
        decoder.feed(&[*token]).unwrap();
        let logits = widen(&decoder.logits().unwrap());
        let kl = divergence(exact, &logits);
        sum += kl;
        most = most.max(kl);
        same += usize::from(largest(exact) == largest(&logits));
    }
    let mean = sum / count as f64;
    println!(
        "{name} {activations:?}: KL from float64 {mean:.3e}, at most {most:.3e}; best token {same}/{count}"
    );
    assert!(mean < bound, "the mean KL divergence is {mean}, the bound is {bound}");
}

macro_rules! models {
    ($($module:ident: $file:literal, $activations:ident, $bound:literal, $divergence:literal;)*) => {$(
        mod $module {
            use super::*;

            #[test]
            fn logits() {
                check_logits($file, Activations::$activations, $bound);
            }

            #[test]
            fn greedy_tokens() {
                check_greedy($file, Activations::$activations);
            }

            #[test]
            fn likelihood() {
                check_nll($file, Activations::$activations);
            }

            #[test]
            fn divergence() {
                check_divergence($file, Activations::$activations, $divergence);
            }
        }
    )*};
}

models! {
    q4_k_m: "tiny-qwen3-q4_k_m", Int8, 0.03, 2e-3;
    q4_k_m_float: "tiny-qwen3-q4_k_m", Float, 1e-3, 2e-6;
    q8_0: "tiny-qwen3-q8_0", Int8, 0.03, 2e-3;
    q8_0_float: "tiny-qwen3-q8_0", Float, 1e-3, 2e-6;
}

/// What was chosen does not depend on how it was asked for: in one go, token by token, stopped and gone on.
#[test]
fn the_sequence_does_not_depend_on_the_batches() {
    let (mut decoder, golden) = load("tiny-qwen3-q4_k_m", Activations::Int8);
    let prompt = &golden.cases[0].prompt_token_ids;
    decoder.feed(prompt).unwrap();
    let at_once = decoder.generate(24, &[], &mut |_| ControlFlow::Continue(())).unwrap();
    let after = decoder.logits().unwrap();

    decoder.reset();
    for token in prompt {
        decoder.feed(&[*token]).unwrap();
    }
    let mut apart = Vec::new();
    while apart.len() < 24 {
        let stop = [at_once[apart.len()]];
        apart.extend(decoder.generate(24 - apart.len(), &stop, &mut |_| ControlFlow::Break(())).unwrap());
    }
    assert_eq!(apart, at_once);
    assert_eq!(decoder.position(), prompt.len() + 24);
    assert_eq!(decoder.logits().unwrap(), after, "the logits are the same to the bit");
}
