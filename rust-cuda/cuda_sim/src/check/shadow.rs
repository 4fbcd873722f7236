//! Shadow memory: which agents accessed which bytes, and which bytes are initialised.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::races::Cell;

/// Allocations begin at multiples of this: a page is of one.
const PAGE: usize = 256;

/// The bytes of the widest access.
const WIDEST: usize = 16;

/// For numbers that nobody chose to collide: a multiplication spreads them.
#[derive(Default)]
pub(super) struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        // The low bits know of the low bits only.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize((*byte).into()));
    }

    fn write_usize(&mut self, n: usize) {
        self.0 = (self.0.rotate_left(5) ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type Pages<T> = HashMap<usize, T, BuildHasherDefault<PageHasher>>;

/// The pages that a range touches: page number, first byte in the page, bytes there.
fn pieces(address: usize, bytes: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut at = address;
    std::iter::from_fn(move || {
        let (page, first) = (at / PAGE, at % PAGE);
        let count = (PAGE - first).min(address + bytes - at);
        at += count;
        (count > 0).then_some((page, first, count))
    })
}

/// A page, in cells of as many bytes as its accesses have in common.
struct Page {
    unit: usize,
    cells: Vec<Cell>,
}

impl Page {
    fn new(unit: usize) -> Self {
        Self { unit, cells: vec![Cell::default(); PAGE / unit] }
    }

    /// Divides the cells, each part with its whole's history.
    fn divide(&mut self, unit: usize) {
        let parts = self.unit / unit;
        self.cells = self.cells.iter().flat_map(|cell| std::iter::repeat_n(cell, parts)).cloned().collect();
        self.unit = unit;
    }
}

/// The history of memory's bytes.
#[derive(Default)]
pub(super) struct Shadow(Pages<Page>);

impl Shadow {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Visits the cells of a range, each with its address.
    pub fn visit(&mut self, address: usize, bytes: usize, mut visit: impl FnMut(usize, &mut Cell)) {
        for (page, first, count) in pieces(address, bytes) {
            let unit = 1 << (first | count | WIDEST).trailing_zeros();
            let memory = self.0.entry(page).or_insert_with(|| Page::new(unit));
            if memory.unit > unit {
                memory.divide(unit);
            }
            let unit = memory.unit;
            for (i, cell) in memory.cells[first / unit..(first + count) / unit].iter_mut().enumerate() {
                visit(page * PAGE + first + i * unit, cell);
            }
        }
    }
}

type Bits = [u64; PAGE / 64];

/// A set of bytes.
#[derive(Default)]
pub(super) struct Bytes(Pages<Bits>);

impl Bytes {
    /// Whether it has none: nearly always so for what is not written of global memory.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a range in.
    pub fn insert(&mut self, address: usize, bytes: usize) {
        for (page, first, count) in pieces(address, bytes) {
            let bits = self.0.entry(page).or_default();
            words(first, count).for_each(|(word, mask)| bits[word] |= mask);
        }
    }

    /// Takes a range out.
    pub fn remove(&mut self, address: usize, bytes: usize) {
        for (page, first, count) in pieces(address, bytes) {
            let Some(bits) = self.0.get_mut(&page) else { continue };
            words(first, count).for_each(|(word, mask)| bits[word] &= !mask);
            if *bits == Bits::default() {
                self.0.remove(&page);
            }
        }
    }

    /// Whether it has all of a range.
    pub fn has_all(&self, address: usize, bytes: usize) -> bool {
        pieces(address, bytes).all(|(page, first, count)| {
            let bits = self.0.get(&page).copied().unwrap_or_default();
            words(first, count).all(|(word, mask)| bits[word] & mask == mask)
        })
    }

    /// Whether it has any of a range.
    pub fn has_any(&self, address: usize, bytes: usize) -> bool {
        pieces(address, bytes).any(|(page, first, count)| {
            self.0
                .get(&page)
                .is_some_and(|bits| words(first, count).any(|(word, mask)| bits[word] & mask != 0))
        })
    }
}

/// The words of a page's bits that a range touches, and its bits in each.
fn words(first: usize, count: usize) -> impl Iterator<Item = (usize, u64)> {
    let end = first + count;
    (first / 64..end.div_ceil(64)).map(move |word| {
        let (from, to) = (first.max(word * 64) - word * 64, end.min(word * 64 + 64) - word * 64);
        (word, u64::MAX >> (64 - (to - from)) << from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_set() {
        let mut bytes = Bytes::default();
        bytes.insert(250, 100);
        assert!(bytes.has_all(250, 100) && !bytes.has_all(249, 2) && !bytes.has_all(349, 2));
        assert!(bytes.has_any(240, 11) && !bytes.has_any(240, 10) && !bytes.has_any(350, 10));
        bytes.remove(256, 64);
        assert!(bytes.has_all(250, 6) && bytes.has_all(320, 30) && !bytes.has_any(256, 64));
        bytes.remove(0, 1000);
        assert!(bytes.is_empty());
    }

    fn addresses(shadow: &mut Shadow, address: usize, bytes: usize) -> Vec<usize> {
        let mut all = Vec::new();
        shadow.visit(address, bytes, |address, _| all.push(address));
        all
    }

    #[test]
    fn cells_are_as_wide_as_the_accesses() {
        let mut shadow = Shadow::default();
        assert_eq!(addresses(&mut shadow, 512, 16), [512]);
        assert_eq!(addresses(&mut shadow, 516, 4), [516]);
        assert_eq!(addresses(&mut shadow, 512, 16), [512, 516, 520, 524]);
        assert_eq!(addresses(&mut shadow, 519, 1), [519]);
        assert_eq!(addresses(&mut shadow, 516, 4), [516, 517, 518, 519]);
        assert_eq!(addresses(&mut shadow, 1000, 48).len(), 6, "a copy beyond a page: 24 bytes of each");
    }
}
