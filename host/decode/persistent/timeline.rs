//! A token's times, as the blocks noted them, step by step.

use psionic_kernels::persistent::plan::{HEAD, Phase, Plan, Stream, WARPS};
use psionic_kernels::persistent::profile_phases;

use crate::decode::{Step, Timeline};

/// The timeline of the token at `position`, from the two times that each block has of each phase. `kinds`: of the tiles of
/// each layer and of the head.
pub fn of(plan: &Plan, kinds: &[u32], times: &[u64], position: usize) -> Timeline {
    let (phases, blocks) = (profile_phases(plan.layers) as usize, (plan.groups * plan.blocks) as usize);
    let time = |block: usize, index: usize| {
        let first = 2 * (block * phases + index);
        [times[first], times[first + 1]]
    };
    let mut steps = Vec::with_capacity(phases + plan.layers as usize);
    for index in 0..phases {
        let of_layer = Phase::OF_LAYER as usize;
        let layer = Some(index / of_layer).filter(|layer| *layer < plan.layers as usize);
        let (phase, name) = match (layer, index % of_layer) {
            (Some(_), i) => (Some(Phase::ALL[i]), ["heads", "output", "gate and up", "down"][i]),
            (None, 0) => (Some(Phase::Logits), "logits"),
            (None, _) => (None, "choice"),
        };
        if phase == Some(Phase::Output) {
            let between = |block| [time(block, index - 1)[1], time(block, index)[0]];
            steps.push(Step {
                layer,
                name: "attention",
                weight_bytes: 0,
                cache_bytes: 4 * u64::from(plan.groups * HEAD) * position as u64,
                blocks: (0..blocks).map(between).collect(),
            });
        }
        let kinds = kinds[layer.unwrap_or(plan.layers as usize)];
        steps.push(Step {
            layer,
            name,
            weight_bytes: phase.map_or(0, |phase| stream_bytes(plan, kinds, phase)),
            cache_bytes: 0,
            blocks: (0..blocks).map(|block| time(block, index)).collect(),
        });
    }
    Timeline { position, steps }
}

/// Bytes of the tiles of a phase, over all blocks.
fn stream_bytes(plan: &Plan, kinds: u32, phase: Phase) -> u64 {
    let stream = Stream { kinds, start: 0, stride: 0 };
    let blocks = (0..plan.groups).flat_map(|group| (0..plan.blocks).map(move |rank| (group, rank)));
    let bytes = |(group, rank)| {
        let tile = stream.kind(phase, rank >= plan.key_blocks).bytes();
        u64::from(plan.job(phase, group, rank).tiles() * WARPS * tile)
    };
    blocks.map(bytes).sum()
}
