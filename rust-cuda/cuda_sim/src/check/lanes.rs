//! Which accesses of a warp's lanes are one instruction.
//!
//! Lanes run one after the other between synchronisations, so accesses that a GPU makes together are separated. They are
//! regrouped by counting: a lane's n-th access at a line since it last synchronised is grouped with the n-th of the other
//! lanes there. Where lanes run a loop a different number of times, this is what a GPU does too, as long as they begin
//! together; the accesses of lanes that skip an iteration in the middle are counted with the next iteration's.

use std::collections::HashMap;

use crate::warp::{WARP, lanes};

/// A line that loads or stores: the site, whether it stores, to shared memory, and the bytes of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LineKey {
    pub site: u32,
    pub shared: bool,
    pub stores: bool,
    pub bytes: u8,
}

/// One instruction of a warp: where each lane that takes part loads or stores.
#[derive(Clone, Debug, Default)]
pub(super) struct Instruction {
    mask: u32,
    addresses: [usize; WARP as usize],
}

impl Instruction {
    /// The lanes that take part, with their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        lanes(self.mask).map(|lane| (lane, self.addresses[lane]))
    }

    /// An instruction of the lanes from 0 on.
    #[cfg(test)]
    pub fn of(addresses: &[usize]) -> Self {
        let mut instruction = Self::default();
        addresses.iter().enumerate().for_each(|(lane, address)| instruction.add(lane, *address));
        instruction
    }

    fn add(&mut self, lane: usize, address: usize) {
        self.mask |= 1 << lane;
        self.addresses[lane] = address;
    }
}

#[derive(Debug, Default)]
struct Line {
    /// For each lane, the instruction that its next access belongs to.
    next: [u32; WARP as usize],
    instructions: Vec<Instruction>,
}

/// The instructions of a warp since its lanes last met.
#[derive(Debug, Default)]
pub(super) struct WarpLines(HashMap<LineKey, Line>);

impl WarpLines {
    /// A lane's access.
    pub fn add(&mut self, key: LineKey, lane: usize, address: usize) {
        let line = self.0.entry(key).or_default();
        let next = line.next[lane] as usize;
        line.next[lane] += 1;
        if line.instructions.len() <= next {
            line.instructions.resize_with(next + 1, Instruction::default);
        }
        line.instructions[next].add(lane, address);
    }

    /// The lanes of `mask` have met: their next accesses belong to no instruction before.
    pub fn met(&mut self, mask: u32) {
        for line in self.0.values_mut() {
            for lane in lanes(mask) {
                line.next[lane] = line.instructions.len() as u32;
            }
        }
    }

    /// Gives every instruction, and forgets them.
    pub fn drain(&mut self) -> impl Iterator<Item = (LineKey, Instruction)> + '_ {
        self.0.drain().flat_map(|(key, line)| line.instructions.into_iter().map(move |i| (key, i)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: LineKey = LineKey { site: 1, shared: true, stores: false, bytes: 4 };

    fn masks(lines: &mut WarpLines) -> Vec<u32> {
        lines.drain().map(|(_, instruction)| instruction.mask).collect()
    }

    #[test]
    fn the_nth_accesses_of_lanes_are_one_instruction() {
        let mut lines = WarpLines::default();
        for lane in 0..4 {
            for round in 0..=lane {
                lines.add(KEY, lane, 100 * round + lane);
            }
        }
        assert_eq!(masks(&mut lines), [0b1111, 0b1110, 0b1100, 0b1000]);
        assert!(masks(&mut lines).is_empty());
    }

    #[test]
    fn after_a_meeting_lanes_are_together_again() {
        let mut lines = WarpLines::default();
        lines.add(KEY, 0, 0);
        lines.add(KEY, 0, 0);
        lines.add(KEY, 1, 0);
        lines.met(0b11);
        lines.add(KEY, 1, 0);
        lines.add(KEY, 0, 0);
        assert_eq!(masks(&mut lines), [0b11, 0b01, 0b11]);
    }
}
