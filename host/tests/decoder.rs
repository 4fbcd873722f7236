//! The decoder as a whole: models of many shapes against a float64 forward pass, repeatability, and what it refuses.

use std::ops::ControlFlow;

use crate::machine;
use crate::reference;
use crate::tiny::Tiny;
use cuda_sim::SimConfig;
use psionic::decode::{Activations, DecodeError, Decoder, DecoderOptions};
use psionic::device::Device;
use psionic::gguf::GgufFile;
use psionic::model::Model;
use psionic::quant::QuantType::{F16, F32, Q4K, Q6K, Q8_0};
use psionic::random::Random;

fn try_load(device: Device, file: &GgufFile, options: DecoderOptions) -> Result<Decoder, DecodeError> {
    let model = Model::from_gguf(file).expect("the file is a model");
    Decoder::load(device, &model, &options, &mut |_, _| {})
}

fn load(file: &GgufFile) -> Decoder {
    try_load(machine::device(), file, DecoderOptions::default()).expect("the model loads")
}

fn refused(result: Result<Decoder, DecodeError>) -> DecodeError {
    result.err().expect("the model is refused")
}

fn on(_: &[u32]) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn tokens(tiny: &Tiny, count: usize) -> Vec<u32> {
    let mut random = Random::new(90);
    (0..count).map(|_| random.below(tiny.vocab) as u32).collect()
}

/// The logits after each token are those of the reference, up to a relative root of the mean square.
fn check(tiny: &Tiny, activations: Activations, bound: f64) {
    let (_dir, file) = tiny.file(91);
    let model = Model::from_gguf(&file).unwrap();
    let options = DecoderOptions { activations, ..DecoderOptions::default() };
    let mut decoder = try_load(machine::device(), &file, options).unwrap();
    let tokens = tokens(tiny, 7);
    for (i, expected) in reference::forward(&model, &tokens, reference::HALF).into_iter().enumerate() {
        decoder.feed(&tokens[i..=i]).unwrap();
        let logits = decoder.logits().unwrap();
        assert_eq!(logits.len(), tiny.vocab);
        let difference: f64 = logits.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
        let rms = (difference / expected.iter().map(|v| v * v).sum::<f64>()).sqrt();
        println!("{activations:?}: token {i}: {rms:.7}");
        assert!(rms < bound, "{tiny:?}, {activations:?}, token {i}: off by {rms}, the bound is {bound}");
    }
}

fn shapes() -> [Tiny; 7] {
    [
        // As Q4_K_M has it: groups of 2, tied.
        Tiny { v: Q6K, down: Q6K, embedding: Q6K, ..Tiny::new(Q4K) },
        // Groups of 4, a separate output.
        Tiny { heads: 8, head_dim: 32, output: Some(Q6K), ..Tiny::new(Q4K) },
        // Keys and values so few beside the queries that they would get no block of their launch by their bytes.
        Tiny { heads: 16, kv_heads: 1, ..Tiny::new(Q4K) },
        // Gate and up of different formats, which are not computed together; a head wider than the model's part.
        Tiny { heads: 2, kv_heads: 1, head_dim: 256, up: Q6K, o: Q8_0, output: Some(Q8_0), ..Tiny::new(Q4K) },
        // Widths that are no multiples of 64, groups of 4.
        Tiny { hidden: 96, ffn: 160, heads: 4, kv_heads: 1, head_dim: 32, ..Tiny::new(Q8_0) },
        // Floats among codes.
        Tiny {
            hidden: 96,
            ffn: 224,
            heads: 6,
            head_dim: 96,
            k: F16,
            v: F32,
            up: F16,
            o: F32,
            ..Tiny::new(Q8_0)
        },
        // Floats only, each head with its own keys, and a separate output.
        Tiny {
            hidden: 32,
            ffn: 96,
            heads: 3,
            kv_heads: 3,
            head_dim: 160,
            output: Some(F32),
            ..Tiny::new(F16)
        },
    ]
}

/// What is left is the rounding of `f32`, and numbers that it rounds to the other neighbour in the cache's half
/// precision: 2^-11 of one number among hundreds.
#[test]
fn logits_with_float_activations() {
    shapes().iter().for_each(|tiny| check(tiny, Activations::Float, 3e-4));
}

/// Activations have 8 bits. Weights that are floats have exact activations.
#[test]
fn logits_with_8_bit_activations() {
    let shapes = shapes();
    shapes[..6].iter().for_each(|tiny| check(tiny, Activations::Int8, 0.03));
    check(&shapes[6], Activations::Int8, 3e-4);
}

#[test]
fn the_order_of_the_simulator_does_not_matter() {
    let tiny = Tiny { v: Q6K, ..Tiny::new(Q4K) };
    let (_dir, file) = tiny.file(92);
    let run = |seed| {
        let device = Device::simulated(SimConfig { seed, ..SimConfig::default() });
        let mut decoder = try_load(device, &file, DecoderOptions::default()).unwrap();
        decoder.feed(&tokens(&tiny, 5)).unwrap();
        let chosen = decoder.generate(4, &[], &mut on).unwrap();
        (chosen, decoder.logits().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>())
    };
    let natural = run(0);
    for seed in 1..=2 {
        assert!(run(seed) == natural, "seed {seed} gives something else");
    }
}

#[test]
fn two_decoders_do_not_disturb_each_other() {
    let tiny = Tiny::new(Q4K);
    let (_one_dir, one) = tiny.file(93);
    let (_other_dir, other) = tiny.file(94);
    let prompt = tokens(&tiny, 6);
    let alone = |file: &GgufFile| {
        let mut decoder = load(file);
        decoder.feed(&prompt).unwrap();
        (decoder.generate(6, &[], &mut on).unwrap(), decoder.logits().unwrap())
    };
    let expected = [alone(&one), alone(&other)];
    let mut both = [load(&one), load(&other)];
    prompt.iter().for_each(|token| both.iter_mut().for_each(|decoder| decoder.feed(&[*token]).unwrap()));
    let mut chosen = [vec![], vec![]];
    for _ in 0..6 {
        for (decoder, chosen) in both.iter_mut().zip(&mut chosen) {
            chosen.extend(decoder.generate(1, &[], &mut on).unwrap());
        }
    }
    let [first, second] = &mut both;
    let [one, other] = chosen;
    assert!([(one, first.logits().unwrap()), (other, second.logits().unwrap())] == expected);
}

/// A sequence that is begun again has forgotten the one before.
#[test]
fn a_reset_forgets() {
    let tiny = Tiny::new(Q8_0);
    let (_dir, file) = tiny.file(95);
    let all = tokens(&tiny, 12);
    let mut fresh = load(&file);
    fresh.feed(&all[8..]).unwrap();
    let mut used = load(&file);
    used.feed(&all[..8]).unwrap();
    used.reset();
    assert_eq!(used.position(), 0);
    assert!(matches!(used.logits(), Err(DecodeError::NoTokens)));
    used.feed(&all[8..]).unwrap();
    assert_eq!(used.logits().unwrap(), fresh.logits().unwrap());
}

#[test]
fn the_whole_context_can_be_used() {
    let tiny = Tiny::new(Q8_0);
    let (_dir, file) = tiny.file(96);
    let model = Model::from_gguf(&file).unwrap();
    let all = tokens(&tiny, tiny.context);
    let mut decoder = load(&file);
    assert_eq!(decoder.context(), tiny.context);
    decoder.feed(&all).unwrap();
    let logits = decoder.logits().unwrap();
    let expected = reference::forward(&model, &all, reference::HALF).pop().unwrap();
    let difference: f64 = logits.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    // As above.
    assert!(
        (difference / expected.iter().map(|v| v * v).sum::<f64>()).sqrt() < 0.03,
        "the last token's logits"
    );
    assert_eq!(decoder.position(), tiny.context);

    let full = |result: Result<(), DecodeError>, wanted: usize, there: usize| match result {
        Err(DecodeError::ContextFull { asked, used, context }) => {
            assert_eq!((asked, used, context), (wanted, there, tiny.context));
        }
        other => panic!("a full context is refused, not {other:?}"),
    };
    full(decoder.feed(&all[..1]), 1, tiny.context);
    full(decoder.generate(1, &[], &mut on).map(drop), 1, tiny.context);
    assert!(decoder.generate(0, &[], &mut on).unwrap().is_empty());
    assert_eq!(decoder.logits().unwrap(), logits, "a refusal changes nothing");

    // The last places may be filled by chosen tokens too.
    decoder.reset();
    full(decoder.feed(&[&all[..], &[0]].concat()), tiny.context + 1, 0);
    decoder.feed(&all[..tiny.context - 3]).unwrap();
    full(decoder.generate(4, &[], &mut on).map(drop), 4, tiny.context - 3);
    assert_eq!(decoder.generate(3, &[], &mut on).unwrap().len(), 3);
    assert_eq!(decoder.position(), tiny.context);
}

#[test]
fn contexts_that_cannot_be() {
    let tiny = Tiny::new(Q8_0);
    let (_dir, file) = tiny.file(97);
    for wrong in [0, tiny.context + 1, usize::MAX] {
        let options = DecoderOptions { context: Some(wrong), ..DecoderOptions::default() };
        match refused(try_load(machine::device(), &file, options)) {
            DecodeError::ContextTooLong { asked, limit } => assert_eq!((asked, limit), (wrong, tiny.context)),
            other => panic!("a context of {wrong} is refused, not {other}"),
        }
    }
    let options = DecoderOptions { context: Some(1), ..DecoderOptions::default() };
    let mut decoder = try_load(machine::device(), &file, options).unwrap();
    decoder.feed(&[3]).unwrap();
    assert_eq!(decoder.logits().unwrap().len(), tiny.vocab);
}

#[test]
fn tokens_that_there_are_not() {
    let tiny = Tiny::new(Q8_0);
    let (_dir, file) = tiny.file(98);
    let mut decoder = load(&file);
    assert!(matches!(decoder.logits(), Err(DecodeError::NoTokens)));
    assert!(matches!(decoder.generate(1, &[], &mut on), Err(DecodeError::NoTokens)));
    decoder.feed(&[]).unwrap();
    assert!(matches!(decoder.generate(0, &[], &mut on), Err(DecodeError::NoTokens)));
    let last = tiny.vocab as u32 - 1;
    for wrong in [last + 1, u32::MAX] {
        match decoder.feed(&[0, wrong, 1]) {
            Err(DecodeError::UnknownToken { token, vocab }) => {
                assert_eq!((token, vocab), (wrong, tiny.vocab))
            }
            other => panic!("token {wrong} is refused, not {other:?}"),
        }
        assert_eq!(decoder.position(), 0, "nothing is appended");
    }
    decoder.feed(&[last]).unwrap();
}

/// The memory is planned to the byte: one less is refused before anything is taken, and what was planned is enough.
#[test]
fn memory_that_is_too_little() {
    let (_dir, file) = Tiny::new(Q4K).file(99);
    let with = |memory_bytes| {
        let device = Device::simulated(SimConfig { memory_bytes, ..SimConfig::default() });
        try_load(device, &file, DecoderOptions::default())
    };
    let planned = match refused(with(1000)) {
        DecodeError::DoesNotFit { needed, weights, cache, rest, context, free } => {
            assert_eq!((weights + cache + rest, context, free), (needed, 40, 1000));
            needed as usize
        }
        other => panic!("too little memory is refused, not {other}"),
    };
    assert!(matches!(refused(with(planned - 1)), DecodeError::DoesNotFit { .. }));
    with(planned).unwrap().feed(&[1, 2]).unwrap();
}
