//! The tokenizer that a GGUF file of a Qwen3 model carries: byte-level BPE behind Qwen2's pre-tokenizer.

use super::config::EMBEDDING;
use super::error::TokenizerError;
use super::stream::TextStream;
use crate::gguf::GgufFile;
use std::collections::HashSet;
use std::ops::Range;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";
const EOT: &str = "tokenizer.ggml.eot_token_id";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

/// Token types that are matched in a text before it is split.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Qwen2's: contractions, words with what precedes them, single digits, punctuation, line ends, spaces.
const SPLIT: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// Texts to tokens and back.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bytes: Vec<u8>,
    /// Where each token's bytes are in `bytes`.
    ranges: Vec<Range<usize>>,
    special: Vec<u32>,
    stop: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    chat_template: Option<String>,
}

impl Tokenizer {
    /// Builds the tokenizer of a Qwen3 file.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, TokenizerError> {
        let metadata = file.metadata();
        for (key, expected) in [(MODEL, "gpt2"), (PRE, "qwen2")] {
            match metadata.string(key)? {
                Some(found) if found == expected => {}
                Some(found) => {
                    let found = found.chars().take(80).collect();
                    return Err(TokenizerError::Kind { key, expected, found });
                }
                None => return Err(TokenizerError::MissingKey { key }),
            }
        }
        let tokens = metadata.strings(TOKENS)?.ok_or(TokenizerError::MissingKey { key: TOKENS })?;
        let merges = metadata.strings(MERGES)?.ok_or(TokenizerError::MissingKey { key: MERGES })?;
        let types = metadata.integers(TYPES)?.unwrap_or_else(|| vec![1; tokens.len()]);
        check_sizes(file, tokens.len(), types.len())?;

        let is_special = |id: usize| matches!(types[id], CONTROL | USER_DEFINED) && !tokens[id].is_empty();
        let special: Vec<u32> = (0..tokens.len()).filter(|&id| is_special(id)).map(|id| id as u32).collect();
        let inner = library_tokenizer(tokens, merges, &special, |id| types[id as usize] == CONTROL)?;

        let id = |key| match metadata.unsigned(key)? {
            Some(id) if id < tokens.len() as u64 => Ok(Some(id as u32)),
            Some(id) => Err(inconsistent("special token ids inside the vocabulary", format!("{key} = {id}"))),
            None => Ok(None),
        };
        let (bos, eos, eot) = (id(BOS)?, id(EOS)?, id(EOT)?);
        let named = ["<|im_end|>", "<|endoftext|>"].map(|text| {
            let control = |id: &u32| types[*id as usize] == CONTROL;
            inner.token_to_id(text).filter(control)
        });
        let mut stop: Vec<u32> = [eos, eot].into_iter().chain(named).flatten().collect();
        stop.sort_unstable();
        stop.dedup();

        let (bytes, ranges) = token_bytes(tokens, &special);
        let add_bos = metadata.boolean(ADD_BOS)?.unwrap_or(false);
        let chat_template = metadata.string(CHAT_TEMPLATE)?.map(str::to_owned);
        Ok(Self { inner, bytes, ranges, special, stop, bos, eos, add_bos, chat_template })
    }

    /// Splits a text into tokens. Special tokens written out in the text count as themselves.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding =
            self.inner.encode_fast(text, false).map_err(|_| TokenizerError::Encode { len: text.len() })?;
        let first = self.bos.filter(|_| self.add_bos);
        Ok(first.into_iter().chain(encoding.get_ids().iter().copied()).collect())
    }

    /// The text of tokens, special ones included. Bytes that are not UTF-8 are shown as U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A decoder for tokens that come one by one.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }

    /// The bytes that a token stands for; none for an id beyond the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.ranges.get(id as usize).map_or(&[], |range| &self.bytes[range.clone()])
    }

    /// The token with exactly this text in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.ranges.len()
    }

    /// The token that ends a turn.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The token that begins a text, which [`encode`](Self::encode) puts first where the file asks for it.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens that end a generation: the end of a turn and the end of a text, in ascending order.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop
    }

    /// The tokens that are matched whole in a text, in ascending order.
    pub fn special_tokens(&self) -> &[u32] {
        &self.special
    }

    /// The Jinja template of a conversation, where the file has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }
}

fn inconsistent(expected: &'static str, found: String) -> TokenizerError {
    TokenizerError::Inconsistent { expected, found }
}

fn check_sizes(file: &GgufFile, tokens: usize, types: usize) -> Result<(), TokenizerError> {
    if types != tokens {
        return Err(inconsistent("a type for each token", format!("{types} types for {tokens} tokens")));
    }
    match file.tensor(EMBEDDING).map(|tensor| tensor.dimensions()) {
        Some(&[_, rows]) if rows < tokens as u64 => {
            Err(inconsistent("an embedding for each token", format!("{rows} for {tokens} tokens")))
        }
        _ => Ok(()),
    }
}

/// The `tokenizers` library's tokenizer, made from lists that are checked first: it would panic on a merge longer than
/// every token and skip a byte that has none.
fn library_tokenizer(
    tokens: &[String],
    merges: &[String],
    special: &[u32],
    is_control: impl Fn(u32) -> bool,
) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let mut vocab = Vocab::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if let Some(first) = vocab.insert(token.clone(), id as u32) {
            return Err(inconsistent("each token once", format!("tokens {first} and {id} alike")));
        }
    }
    if let Some(byte) =
        (0..=255u8).find(|&byte| !vocab.contains_key(byte_char(byte).encode_utf8(&mut [0; 4])))
    {
        return Err(inconsistent("a token for each byte", format!("none for byte {byte}")));
    }
    let pair = |merge: &String| {
        let (left, right) = merge.split_once(' ')?;
        let known = |part: &str| vocab.contains_key(part);
        (known(left) && known(right) && known(&[left, right].concat()))
            .then(|| (left.to_owned(), right.to_owned()))
    };
    let mut pairs = Vec::with_capacity(merges.len());
    for (rank, merge) in merges.iter().enumerate() {
        let bad = || inconsistent("merges of two tokens into a third", format!("another at rank {rank}"));
        pairs.push(pair(merge).ok_or_else(bad)?);
    }

    let refused = |_| inconsistent("a vocabulary that makes a tokenizer", "one that does not".to_owned());
    let bpe = BPE::builder().vocab_and_merges(vocab, pairs).build().map_err(refused)?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    // Qwen publishes its tokenizers with this normaliser; GGUF has no key for it.
    tokenizer.with_normalizer(Some(NFC)).map_err(refused)?;
    let split = Split::new(SplitPattern::Regex(SPLIT.to_owned()), SplitDelimiterBehavior::Isolated, false);
    let byte_level = ByteLevel::new(false, false, false);
    let steps = vec![split.map_err(refused)?.into(), byte_level.into()];
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    let added = special
        .iter()
        .map(|&id| AddedToken::from(tokens[id as usize].clone(), is_control(id)).normalized(false));
    tokenizer.add_tokens(added).map_err(refused)?;
    Ok(tokenizer)
}

/// The character that stands for a byte in a byte-level vocabulary: itself where it is printable, otherwise the next of
/// those from U+0100 on.
pub(super) fn byte_char(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&other| !printable(other)).count() as u32;
    char::from_u32(0x100 + before).expect("at most 256 characters from U+0100 on")
}

/// The bytes of every token, one after another, and where each token's are. A special token stands for its own text, and
/// so does one with a character that stands for no byte.
fn token_bytes(tokens: &[String], special: &[u32]) -> (Vec<u8>, Vec<Range<usize>>) {
    let byte_of: std::collections::HashMap<char, u8> =
        (0..=255).map(|byte| (byte_char(byte), byte)).collect();
    let special: HashSet<usize> = special.iter().map(|&id| id as usize).collect();
    let mut bytes = Vec::new();
    let ranges = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| {
            let start = bytes.len();
            let mapped: Option<Vec<u8>> = token.chars().map(|c| byte_of.get(&c).copied()).collect();
            match mapped.filter(|_| !special.contains(&id)) {
                Some(mapped) => bytes.extend(mapped),
                None => bytes.extend(token.as_bytes()),
            }
            start..bytes.len()
        })
        .collect();
    (bytes, ranges)
}
