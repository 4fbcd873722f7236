//! The header of a new GGUF file.

use super::DEFAULT_ALIGNMENT;
use crate::quant::QuantType;

/// A version 3 header in the making; pairs and tensors keep the order in which they are added.
#[derive(Debug, Default)]
pub(crate) struct HeaderWriter {
    pairs: Vec<u8>,
    pair_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    data_len: u64,
}

impl HeaderWriter {
    fn key(&mut self, key: &str, kind: u32) -> &mut Vec<u8> {
        self.pair_count += 1;
        put_string(&mut self.pairs, key);
        self.pairs.extend(kind.to_le_bytes());
        &mut self.pairs
    }

    fn array_key(&mut self, key: &str, kind: u32, len: usize) -> &mut Vec<u8> {
        let bytes = self.key(key, 9);
        bytes.extend(kind.to_le_bytes());
        bytes.extend((len as u64).to_le_bytes());
        bytes
    }

    pub fn u32(&mut self, key: &str, value: u32) {
        self.key(key, 4).extend(value.to_le_bytes());
    }

    pub fn f32(&mut self, key: &str, value: f32) {
        self.key(key, 6).extend(value.to_le_bytes());
    }

    pub fn boolean(&mut self, key: &str, value: bool) {
        self.key(key, 7).push(value.into());
    }

    pub fn string(&mut self, key: &str, value: &str) {
        put_string(self.key(key, 8), value);
    }

    pub fn strings(&mut self, key: &str, values: &[String]) {
        let bytes = self.array_key(key, 8, values.len());
        values.iter().for_each(|value| put_string(bytes, value));
    }

    pub fn i32s(&mut self, key: &str, values: &[i32]) {
        let bytes = self.array_key(key, 5, values.len());
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    }

    /// Adds a tensor of `len` bytes behind the others and returns its offset in the data section.
    pub fn tensor(&mut self, name: &str, dimensions: &[u64], kind: QuantType, len: u64) -> u64 {
        let offset = self.data_len;
        self.tensor_count += 1;
        put_string(&mut self.tensors, name);
        self.tensors.extend((dimensions.len() as u32).to_le_bytes());
        dimensions.iter().for_each(|dimension| self.tensors.extend(dimension.to_le_bytes()));
        self.tensors.extend(kind.gguf_id().to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.data_len = (offset + len).next_multiple_of(DEFAULT_ALIGNMENT);
        offset
    }

    /// The header with its padding, and the length of the data section behind it.
    pub fn finish(self) -> (Vec<u8>, u64) {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(self.tensor_count.to_le_bytes());
        bytes.extend(self.pair_count.to_le_bytes());
        bytes.extend(self.pairs);
        bytes.extend(self.tensors);
        bytes.resize(bytes.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
        (bytes, self.data_len)
    }
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
