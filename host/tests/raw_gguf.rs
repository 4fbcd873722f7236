//! GGUF files written byte by byte, so that tests can make any file, good or bad, without the code they test.

/// A file in the making.
#[derive(Clone)]
pub struct Raw {
    version: u32,
    pairs: Vec<(String, Vec<u8>)>,
    tensors: Vec<Vec<u8>>,
    tensor_count: Option<u64>,
    pair_count: Option<u64>,
    alignment: usize,
    data: Vec<u8>,
}

impl Raw {
    pub fn new() -> Self {
        let (pairs, tensors, data) = (Vec::new(), Vec::new(), Vec::new());
        Self { version: 3, pairs, tensors, tensor_count: None, pair_count: None, alignment: 32, data }
    }

    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// A pair; `value` is its type id and its bytes. Keys may repeat.
    pub fn pair(mut self, key: &str, value: &[u8]) -> Self {
        self.pairs.push((key.to_owned(), value.to_vec()));
        self
    }

    pub fn u32(self, key: &str, value: u32) -> Self {
        self.pair(key, &[4u32.to_le_bytes(), value.to_le_bytes()].concat())
    }

    pub fn string(self, key: &str, value: &str) -> Self {
        self.pair(key, &[&8u32.to_le_bytes()[..], &string(value)].concat())
    }

    pub fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        let mut info = string(name);
        info.extend((dimensions.len() as u32).to_le_bytes());
        dimensions.iter().for_each(|dimension| info.extend(dimension.to_le_bytes()));
        info.extend(kind.to_le_bytes());
        info.extend(offset.to_le_bytes());
        self.tensors.push(info);
        self
    }

    /// Announces another count of tensors than there are.
    pub fn tensor_count(mut self, count: u64) -> Self {
        self.tensor_count = Some(count);
        self
    }

    /// Announces another count of pairs than there are.
    pub fn pair_count(mut self, count: u64) -> Self {
        self.pair_count = Some(count);
        self
    }

    /// Where the data starts; what the file says of it is a pair.
    pub fn align(mut self, alignment: usize) -> Self {
        self.alignment = alignment;
        self
    }

    /// A data section of this many zeros.
    pub fn data(mut self, len: usize) -> Self {
        self.data = vec![0; len];
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.pair_count.unwrap_or(self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            bytes.extend(string(key));
            bytes.extend(value);
        }
        self.tensors.iter().for_each(|tensor| bytes.extend(tensor));
        if !self.data.is_empty() {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
            bytes.extend(&self.data);
        }
        bytes
    }
}

/// A length and the text.
pub fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}
