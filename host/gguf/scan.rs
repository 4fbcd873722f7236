//! A first walk over the header that bounds every count and length by the bytes there are, and reads the tensors.
//!
//! The parser behind it, which reads the metadata, reserves what a header asks for, recurses into nested arrays, knows no
//! tensor type newer than `I32` and puts the whole file into its messages. After this walk none of that can happen: the
//! header is known to be complete, of a version it can read, flat, in UTF-8, and made of types it knows.

use super::error::{GgufError, shown};
use super::header::TensorHeader;

/// More pairs than any model has; a header of empty strings could otherwise announce one for each 13 bytes of a file.
const MAX_PAIRS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 20;
/// Items in all arrays together. A parsed item takes 32 bytes of memory and may be one byte in the file.
const MAX_ITEMS: u64 = 1 << 23;
const MAX_DIMENSIONS: u32 = 4;

const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// What a walk found.
pub(super) struct Header {
    /// Where the metadata ends.
    pub pairs_end: usize,
    /// Where the padding before the tensor data starts.
    pub end: usize,
    pub tensors: Vec<TensorHeader>,
}

/// Walks over a header.
pub(super) fn header(bytes: &[u8]) -> Result<Header, GgufError> {
    let mut scan = Scan { bytes, at: 0, items: 0 };
    scan.prelude()?;
    let tensors = scan.count("tensors", MAX_TENSORS, 24)?;
    let pairs = scan.count("metadata pairs", MAX_PAIRS, 13)?;
    for _ in 0..pairs {
        scan.pair()?;
    }
    let pairs_end = scan.at;
    let tensors = (0..tensors).map(|_| scan.tensor()).collect::<Result<_, _>>()?;
    Ok(Header { pairs_end, end: scan.at, tensors })
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    items: u64,
}

impl<'a> Scan<'a> {
    fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    fn take(&mut self, len: u64, what: &'static str) -> Result<&'a [u8], GgufError> {
        if len > self.left() {
            return Err(GgufError::Truncated { what, at: self.at as u64, needed: len, left: self.left() });
        }
        let taken = &self.bytes[self.at..][..len as usize];
        self.at += taken.len();
        Ok(taken)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.take(4, what)?.try_into().expect("four bytes were taken")))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.take(8, what)?.try_into().expect("eight bytes were taken")))
    }

    /// A count of things of at least `least` bytes each.
    fn count(&mut self, what: &'static str, most: u64, least: u64) -> Result<u64, GgufError> {
        let count = self.u64(what)?;
        let limit = most.min(self.left() / least);
        if count > limit {
            return Err(GgufError::Count { what, count, limit });
        }
        Ok(count)
    }

    fn string(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let len = self.u64(what)?;
        let at = self.at as u64;
        std::str::from_utf8(self.take(len, what)?).map_err(|_| GgufError::NotUtf8 { what, at })
    }

    /// Magic and version.
    fn prelude(&mut self) -> Result<(), GgufError> {
        let magic = &self.bytes[..self.bytes.len().min(4)];
        if magic != b"GGUF" {
            // A file cut inside its magic is a short GGUF file, not another kind of file.
            if !magic.is_empty() && b"GGUF".starts_with(magic) {
                self.take(4, "the magic")?;
            }
            return Err(GgufError::Magic { found: magic.to_vec() });
        }
        self.at = 4;
        match self.u32("the version")? {
            2 | 3 => Ok(()),
            found if matches!(found.swap_bytes(), 1..=3) => Err(GgufError::BigEndian),
            found => Err(GgufError::Version { found }),
        }
    }

    fn pair(&mut self) -> Result<(), GgufError> {
        let key = self.string("a metadata key")?;
        let kind = self.u32("a metadata type")?;
        if kind != ARRAY {
            return self.value(key, kind);
        }
        let kind = self.u32("an array's item type")?;
        if kind == ARRAY {
            return Err(GgufError::ValueType { key: shown(key), found: "an array of arrays".to_owned() });
        }
        let least = if kind == STRING { 8 } else { Self::scalar_len(key, kind)? };
        let count = self.count("array items", MAX_ITEMS - self.items, least)?;
        self.items += count;
        for _ in 0..count {
            self.value(key, kind)?;
        }
        Ok(())
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<(), GgufError> {
        const BOOL: u32 = 7;
        if kind == STRING {
            return self.string("a metadata string").map(drop);
        }
        let bytes = self.take(Self::scalar_len(key, kind)?, "a metadata value")?;
        if kind == BOOL && bytes[0] > 1 {
            return Err(GgufError::ValueType {
                key: shown(key),
                found: format!("{} as a boolean", bytes[0]),
            });
        }
        Ok(())
    }

    fn scalar_len(key: &str, kind: u32) -> Result<u64, GgufError> {
        match kind {
            0 | 1 | 7 => Ok(1),
            2 | 3 => Ok(2),
            4..=6 => Ok(4),
            10..=12 => Ok(8),
            _ => Err(GgufError::ValueType { key: shown(key), found: format!("type id {kind}") }),
        }
    }

    fn tensor(&mut self) -> Result<TensorHeader, GgufError> {
        let name = self.string("a tensor's name")?;
        let dimensions = self.u32("a tensor's dimensions")?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(GgufError::Dimensions {
                tensor: shown(name),
                found: format!("{dimensions} dimensions"),
            });
        }
        let dimensions =
            (0..dimensions).map(|_| self.u64("a tensor's dimensions")).collect::<Result<_, _>>()?;
        let type_id = self.u32("a tensor's type")?;
        let offset = self.u64("a tensor's offset")?;
        Ok(TensorHeader { name: name.to_owned(), dimensions, type_id, offset })
    }
}
