//! What lanes read at the same time lies in different banks.

use std::collections::BTreeSet;
use std::vec::Vec;

use super::rows::{gathered, turned};
use crate::persistent::plan::{ROW_BYTES, STEP};

/// Pieces that all banks of shared memory give at a time.
const TOGETHER: usize = 8;

fn banks(places: impl IntoIterator<Item = usize>) -> usize {
    places.into_iter().map(|place| place % TOGETHER).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_piece_of_eight_rows_is_in_all_banks() {
    for first in [0, STEP] {
        for piece in 0..ROW_BYTES / 16 {
            // A matrix of keys has every other position, one of values eight in a sequence.
            for i in 0..2 {
                let keys = (0..8).map(|r| turned(first + 2 * r + i, piece));
                let values = (0..8).map(|r| turned(first + 8 * i + r, piece));
                assert_eq!([banks(keys), banks(values)], [TOGETHER; 2], "piece {piece} from row {first} on");
            }
        }
    }
}

#[test]
fn eight_lanes_read_queries_from_all_banks() {
    // Two columns, which are the parts of a query, and four lanes of each.
    for i in 0..4 {
        let lanes = (0..2).flat_map(|part| (0..4).map(move |t| gathered(part, t, 0) ^ i));
        assert_eq!(banks(lanes), TOGETHER, "piece {i}");
    }
}

#[test]
fn every_piece_has_a_place() {
    let all: Vec<usize> = (0..ROW_BYTES as usize / 16).collect();
    for row in 0..2 * STEP {
        let mut places: Vec<_> = (0..ROW_BYTES / 16).map(|piece| turned(row, piece)).collect();
        // Flipping bits of the first one's place leads to the others.
        assert!((0..all.len()).all(|bits| turned(row, 0) ^ bits == places[bits]), "row {row}");
        places.sort_unstable();
        assert_eq!(places, all, "row {row}");
        // A slot's rows are as those of the positions.
        assert_eq!(turned(row + 2 * STEP, 3), turned(row, 3), "row {row}");
    }
    for part in 0..2 {
        let mut places: Vec<_> =
            (0..4).flat_map(|t| (0..4).map(move |piece| gathered(part, t, piece))).collect();
        assert!((0..places.len()).all(|i| gathered(part, i as u32 / 4, 0) ^ (i % 4) == places[i]));
        places.sort_unstable();
        assert_eq!(places, all, "part {part}");
    }
}
