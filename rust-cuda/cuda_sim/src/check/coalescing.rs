//! Coalescing: how much of the data that global memory moves for one instruction of a warp is used.
//!
//! Global memory is moved in sectors of 32 bytes. Lanes that want bytes of one sector share it.

use super::lanes::Instruction;

const SECTOR: usize = 32;

/// Sectors that an instruction touches, and as many as its bytes would fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sectors {
    pub touched: u32,
    pub needed: u32,
}

/// The sectors of an instruction whose lanes access `bytes` bytes each, aligned to that.
pub(super) fn sectors(instruction: &Instruction, bytes: usize) -> Sectors {
    let mut addresses: Vec<usize> = instruction.addresses().map(|(_, address)| address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let needed = (addresses.len() * bytes).div_ceil(SECTOR) as u32;
    addresses.iter_mut().for_each(|address| *address /= SECTOR);
    addresses.dedup();
    Sectors { touched: addresses.len() as u32, needed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strided(bytes: usize, stride: usize, first: usize) -> Sectors {
        let addresses: Vec<usize> = (0..32).map(|lane| first + lane * stride).collect();
        sectors(&Instruction::of(&addresses), bytes)
    }

    #[test]
    fn neighbours_use_all_of_what_is_moved() {
        assert_eq!(strided(4, 4, 0), Sectors { touched: 4, needed: 4 });
        assert_eq!(strided(16, 16, 0), Sectors { touched: 16, needed: 16 });
        assert_eq!(strided(4, 0, 0), Sectors { touched: 1, needed: 1 });
    }

    #[test]
    fn strides_and_crooked_starts_waste_some() {
        assert_eq!(strided(4, 32, 0), Sectors { touched: 32, needed: 4 });
        assert_eq!(strided(4, 8, 0), Sectors { touched: 8, needed: 4 });
        assert_eq!(strided(4, 4, 4), Sectors { touched: 5, needed: 4 });
    }
}
