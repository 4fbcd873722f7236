//! Epochs begin again before their tags run out.

use std::path::Path;

use cuda_sim::SimConfig;

use super::{LAST_EPOCH, Persistent, plan};
use crate::decode::Activations;
use crate::decode::engine::Engine;
use crate::decode::sequence::Sequence;
use crate::device::Device;
use crate::gguf::GgufFile;
use crate::model::Model;

#[test]
fn tokens_are_the_same_where_epochs_begin_again() {
    const CONTEXT: usize = 16;
    const COUNT: usize = 3;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/tiny-qwen3-q4_k_m.gguf");
    let file = GgufFile::open(&path).unwrap();
    let model = Model::from_gguf(&file).unwrap();
    let device = Device::simulated(SimConfig::default());
    let plan = plan(&device, &model, CONTEXT, Activations::Int8).unwrap();
    let mut engine = Persistent::load(&device, &model, &plan, &mut |_, _| {}).unwrap();
    let mut run = |epoch: u32| {
        engine.epoch = epoch;
        let mut sequence = Sequence::new(&device, &model.config, CONTEXT).unwrap();
        device.write(&mut sequence.tokens, 0, &[557, 385, 997]).unwrap();
        engine.look(&device, &mut sequence, 0, 3).unwrap();
        let tokens = engine.extend(&device, &mut sequence, 3, COUNT).unwrap();
        let logits = device.download(&sequence.logits).unwrap();
        (tokens, logits.into_iter().map(f32::to_bits).collect::<Vec<_>>(), engine.epoch)
    };
    let (tokens, logits, used) = run(0);
    assert_eq!(used, (3 + COUNT as u32) * (plan.layers + 1));
    // The last ones that there are; and too few for the second launch.
    for (first, last) in [(LAST_EPOCH - used, LAST_EPOCH), (LAST_EPOCH - used + 1, used / 2)] {
        assert!(run(first) == (tokens.clone(), logits.clone(), last), "from epoch {first} on");
    }
}
