//! The persistent engine: held against a float64 forward pass, in grids of several shapes, and against the other engine.

use std::ops::ControlFlow;

use crate::machine;
use crate::reference;
use crate::tiny::Tiny;
use cuda_sim::SimConfig;
use psionic::decode::{
    Activations, DecodeError, Decoder, DecoderOptions, EngineChoice, EngineKind, Unsupported,
};
use psionic::device::Device;
use psionic::gguf::GgufFile;
use psionic::model::Model;
use psionic::quant::QuantType::{F16, Q4K, Q6K, Q8_0};
use psionic::random::Random;

fn load(device: Device, file: &GgufFile) -> Decoder {
    let model = Model::from_gguf(file).expect("the file is a model");
    let options = DecoderOptions { engine: EngineChoice::Persistent, ..DecoderOptions::default() };
    let decoder = Decoder::load(device, &model, &options, &mut |_, _| {}).expect("the model loads");
    assert_eq!(decoder.engine(), EngineKind::Persistent);
    decoder
}

fn on(_: &[u32]) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn tokens(tiny: &Tiny, count: usize) -> Vec<u32> {
    let mut random = Random::new(90);
    (0..count).map(|_| random.below(tiny.vocab) as u32).collect()
}

/// The relative root mean square of what logits are off by.
fn off_by(logits: &[f32], expected: &[f64]) -> f64 {
    let difference: f64 = logits.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    (difference / expected.iter().map(|v| v * v).sum::<f64>()).sqrt()
}

/// Devices with room for grids of several shapes; a GPU is one device.
fn devices() -> Vec<Device> {
    if machine::is_gpu() {
        return vec![machine::device()];
    }
    let of = |multiprocessors| Device::simulated(SimConfig { multiprocessors, ..SimConfig::default() });
    [6, 9, 34].map(of).into()
}

fn shapes() -> [Tiny; 4] {
    let tiny = Tiny { head_dim: 128, ..Tiny::new(Q4K) };
    [
        // As Q4_K_M has it: groups of 2, tied.
        Tiny { v: Q6K, down: Q6K, embedding: Q6K, ..tiny.clone() },
        // Groups of 4, a separate output, slices of different length, values that are longer than keys.
        Tiny { heads: 8, ffn: 768, v: Q8_0, output: Some(Q6K), ..tiny.clone() },
        // Rows that are no whole number of tiles.
        Tiny { hidden: 768, ffn: 1280, layers: 1, ..tiny.clone() },
        // Three KV heads.
        Tiny { hidden: 512, heads: 6, kv_heads: 3, ffn: 1024, layers: 1, down: Q8_0, ..tiny },
    ]
}

#[test]
fn logits_are_those_of_the_reference() {
    for tiny in shapes() {
        let (_dir, file) = tiny.file(91);
        let model = Model::from_gguf(&file).unwrap();
        let tokens = tokens(&tiny, 6);
        let expected = reference::forward(&model, &tokens, reference::HALF);
        for device in devices() {
            let multiprocessors = device.info().multiprocessors;
            let mut decoder = load(device, &file);
            for (i, expected) in expected.iter().enumerate() {
                decoder.feed(&tokens[i..=i]).unwrap();
                let logits = decoder.logits().unwrap();
                let rms = off_by(&logits, expected);
                println!("{multiprocessors} multiprocessors, token {i}: {rms:.7}");
                assert!(rms < 0.05, "{tiny:?}, {multiprocessors} multiprocessors, token {i}: off by {rms}");
            }
        }
    }
}

/// The cache is divided among the blocks of a group, and a block's part does not fit one slot.
#[test]
fn a_long_context_is_that_of_the_reference() {
    for heads in [2, 4] {
        let tiny =
            Tiny { head_dim: 128, heads: 2 * heads, kv_heads: 2, layers: 1, context: 320, ..Tiny::new(Q4K) };
        let (_dir, file) = tiny.file(94);
        let model = Model::from_gguf(&file).unwrap();
        let tokens = tokens(&tiny, 300);
        let expected = reference::forward(&model, &tokens, reference::HALF);
        // Four blocks a group on the simulator: each looks at two slots and at four, then they share five and ten, of which
        // two are full or one is not.
        let multiprocessors = 9;
        let simulated = Device::simulated(SimConfig { multiprocessors, ..SimConfig::default() });
        let mut decoder = load(if machine::is_gpu() { machine::device() } else { simulated }, &file);
        let mut fed = 0;
        for until in [33, 65, 150, 257, 300] {
            decoder.feed(&tokens[fed..until]).unwrap();
            fed = until;
            let rms = off_by(&decoder.logits().unwrap(), &expected[until - 1]);
            println!("{heads} heads, {until} tokens: {rms:.7}");
            assert!(rms < 0.05, "{heads} heads, {until} tokens: off by {rms}");
        }
    }
}

#[test]
fn tokens_in_one_launch_are_those_of_many() {
    let tiny = Tiny { v: Q6K, head_dim: 128, ..Tiny::new(Q4K) };
    let (_dir, file) = tiny.file(92);
    let run = |prompt: &[&[u32]], steps: &[usize]| {
        let mut decoder = load(machine::device(), &file);
        for part in prompt {
            decoder.feed(part).unwrap();
        }
        let mut chosen = Vec::new();
        for &step in steps {
            chosen.extend(decoder.generate(step, &[], &mut on).unwrap());
        }
        (chosen, decoder.logits().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>())
    };
    let tokens = tokens(&tiny, 5);
    let (first, rest) = tokens.split_at(2);
    let whole = run(&[&tokens], &[7]);
    assert!(run(&[first, rest], &[1, 2, 4]) == whole, "in parts it is something else");
}

#[test]
fn the_trained_model_goes_on_as_with_the_graph() {
    let file = GgufFile::open(&crate::fixture("models/tiny-qwen3-q4_k_m.gguf")).unwrap();
    let model = Model::from_gguf(&file).unwrap();
    for device in devices() {
        let logits = |engine, device| {
            let options = DecoderOptions { engine, ..DecoderOptions::default() };
            let mut decoder = Decoder::load(device, &model, &options, &mut |_, _| {}).unwrap();
            decoder.feed(&[557, 385, 997, 423, 329]).unwrap();
            decoder.logits().unwrap()
        };
        let persistent = logits(EngineChoice::Persistent, device);
        let graph = logits(EngineChoice::Graph, machine::device());
        println!("{:?}\n{:?}", &persistent[..6], &graph[..6]);
        let difference: f64 = persistent.iter().zip(&graph).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let rms = (difference / graph.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>()).sqrt();
        println!("{rms}");
        assert!(rms < 0.03, "off by {rms}");
    }
}

/// A sequence goes back and on as if it had not been further, and a profile generates what is generated without.
#[test]
fn going_back_forgets_and_a_profile_changes_nothing() {
    let tiny = Tiny { v: Q6K, head_dim: 128, ..Tiny::new(Q4K) };
    let (_dir, file) = tiny.file(93);
    let model = Model::from_gguf(&file).unwrap();
    let tokens = tokens(&tiny, 4);
    for engine in [EngineChoice::Graph, EngineChoice::Persistent] {
        let options = DecoderOptions { engine, ..DecoderOptions::default() };
        let mut decoder = Decoder::load(machine::device(), &model, &options, &mut |_, _| {}).unwrap();
        decoder.feed(&tokens).unwrap();
        let first = decoder.generate(5, &[], &mut on).unwrap();
        let logits = decoder.logits().unwrap();
        decoder.truncate(tokens.len() + 20);
        assert_eq!(decoder.position(), tokens.len() + 5, "there is nothing to go back to");
        decoder.truncate(tokens.len());
        let profile = decoder.profile(5).unwrap();
        assert_eq!(profile.is_some(), engine == EngineChoice::Persistent);
        if let Some(profile) = profile {
            assert_eq!((profile.position, decoder.position()), (tokens.len() + 4, tokens.len() + 5));
            assert!(decoder.logits().unwrap() == logits, "the profile's last token is another");
            decoder.truncate(tokens.len());
        }
        assert_eq!(decoder.generate(5, &[], &mut on).unwrap(), first, "{engine:?}");
        assert!(decoder.logits().unwrap() == logits, "{engine:?}");
    }
}

/// The order in which blocks end is another each time on a GPU.
#[test]
fn a_generation_is_the_same_to_the_bit_every_time() {
    let (repeats, count) = if machine::is_gpu() { (100, 64) } else { (2, 4) };
    let file = GgufFile::open(&crate::fixture("models/tiny-qwen3-q4_k_m.gguf")).unwrap();
    let model = Model::from_gguf(&file).unwrap();
    for engine in [EngineChoice::Graph, EngineChoice::Persistent] {
        let options = DecoderOptions { engine, ..DecoderOptions::default() };
        let mut decoder = Decoder::load(machine::device(), &model, &options, &mut |_, _| {}).unwrap();
        let mut run = || {
            decoder.reset();
            decoder.feed(&[557, 385, 997]).unwrap();
            let chosen = decoder.generate(count, &[], &mut on).unwrap();
            (chosen, decoder.logits().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        let first = run();
        for repeat in 1..repeats {
            assert!(run() == first, "{engine:?}: repeat {repeat} gives something else");
        }
    }
}

#[test]
fn what_it_cannot_run_is_refused_with_the_reason_and_left_to_the_graph() {
    let tiny = Tiny { head_dim: 128, layers: 1, ..Tiny::new(Q4K) };
    let (int8, float) = (Activations::Int8, Activations::Float);
    for (tiny, activations, part) in [
        (tiny.clone(), float, "8-bit activations"),
        (Tiny { head_dim: 64, ..tiny.clone() }, int8, "heads of 128 elements"),
        (Tiny { heads: 3, kv_heads: 1, o: Q8_0, ..tiny.clone() }, int8, "an even number of query heads"),
        (Tiny { hidden: 288, ..Tiny { head_dim: 128, ..Tiny::new(Q8_0) } }, int8, "a width that is"),
        (Tiny { ffn: 256, ..tiny.clone() }, int8, "a feed-forward width that is"),
        (Tiny { k: Q6K, ..tiny.clone() }, int8, "queries and keys of one format"),
        (Tiny { up: Q6K, ..tiny.clone() }, int8, "gate and up of one format"),
        (Tiny { o: F16, ..tiny }, int8, "matrices in Q4_K, Q6_K or Q8_0"),
    ] {
        let (_dir, file) = tiny.file(94);
        let model = Model::from_gguf(&file).unwrap();
        let load = |engine| {
            let options = DecoderOptions { engine, activations, ..DecoderOptions::default() };
            Decoder::load(machine::device(), &model, &options, &mut |_, _| {})
        };
        match load(EngineChoice::Persistent).err() {
            Some(DecodeError::Unsupported(Unsupported { needed, .. })) => {
                assert!(needed.starts_with(part), "{needed}")
            }
            other => panic!("what needs {part} is refused, not {other:?}"),
        }
        assert_eq!(load(EngineChoice::Auto).unwrap().engine(), EngineKind::Graph, "{part}");
    }
}
