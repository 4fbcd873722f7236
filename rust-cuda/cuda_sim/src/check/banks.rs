//! Bank conflicts: how many passes shared memory needs for one instruction of a warp.
//!
//! Shared memory has 32 banks of 4 bytes that each serve one word at a time. Lanes that access the same word share it.
//! Wide accesses are split: 8 bytes per lane into half warps, 16 bytes into quarters.

use super::lanes::Instruction;

const BANKS: usize = 32;
const WORD: usize = 4;

/// How often shared memory answers for an instruction, and how often it would without conflicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passes {
    pub actual: u32,
    pub ideal: u32,
}

/// The passes of an instruction whose lanes access `bytes` bytes each.
pub(super) fn passes(instruction: &Instruction, bytes: usize) -> Passes {
    let parts = (bytes / WORD).max(1);
    let lanes = BANKS / parts;
    let mut passes = Passes::default();
    for part in 0..parts {
        let of_part = |(lane, _): &(usize, usize)| lane / lanes == part;
        let mut words: Vec<usize> = instruction
            .addresses()
            .filter(of_part)
            .flat_map(|(_, address)| address / WORD..(address + bytes).div_ceil(WORD))
            .collect();
        words.sort_unstable();
        words.dedup();
        let mut of_bank = [0; BANKS];
        words.iter().for_each(|word| of_bank[word % BANKS] += 1);
        passes.actual += of_bank.into_iter().max().unwrap_or_default();
        passes.ideal += u32::from(!words.is_empty());
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The passes of 32 lanes whose accesses of `bytes` bytes are `stride` bytes apart.
    fn strided(bytes: usize, stride: usize) -> Passes {
        let addresses: Vec<usize> = (0..32).map(|lane| 4096 + lane * stride).collect();
        passes(&Instruction::of(&addresses), bytes)
    }

    #[test]
    fn neighbours_and_broadcasts_have_no_conflicts() {
        for (bytes, ideal) in [(1, 1), (2, 1), (4, 1), (8, 2), (16, 4)] {
            assert_eq!(strided(bytes, bytes), Passes { actual: ideal, ideal }, "{bytes}");
            assert_eq!(strided(bytes, 0), Passes { actual: ideal, ideal }, "{bytes}");
        }
    }

    #[test]
    fn a_column_of_a_matrix_is_in_one_bank_and_padding_spreads_it() {
        assert_eq!(strided(4, 128), Passes { actual: 32, ideal: 1 });
        assert_eq!(strided(4, 132), Passes { actual: 1, ideal: 1 });
        assert_eq!(strided(4, 8), Passes { actual: 2, ideal: 1 });
        assert_eq!(strided(8, 16), Passes { actual: 4, ideal: 2 });
        assert_eq!(strided(16, 128), Passes { actual: 32, ideal: 4 });
    }

    #[test]
    fn a_few_lanes_need_fewer_passes() {
        assert_eq!(passes(&Instruction::of(&[0, 16, 32]), 16), Passes { actual: 1, ideal: 1 });
    }
}
