//! A vocabulary that can write any text: byte tokens, a few merges, Qwen3's special tokens in their places, filler.

use super::super::tokenizer::byte_char;

pub(super) const END_OF_TEXT: u32 = 151_643;
pub(super) const IM_START: u32 = 151_644;
pub(super) const IM_END: u32 = 151_645;

const MERGES: [&str; 6] = ["Ġ t", "Ġ a", "h e", "i n", "r e", "Ġt he"];

/// Bytes and merges.
pub(super) const LEAST: usize = 256 + MERGES.len();

pub(super) struct Vocabulary {
    pub tokens: Vec<String>,
    pub types: Vec<i32>,
    pub merges: Vec<String>,
}

/// `len` tokens, at least [`LEAST`].
pub(super) fn make(len: usize) -> Vocabulary {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    const UNUSED: i32 = 5;
    // The bytes that stand for themselves come first, in the order of their characters, as in GPT-2's vocabulary.
    let mut alphabet: Vec<char> = (0..=255).map(byte_char).collect();
    alphabet.sort_unstable();
    let known = alphabet.into_iter().map(String::from).chain(MERGES.map(|merge| merge.replace(' ', "")));
    let (mut tokens, mut types): (Vec<String>, Vec<i32>) = known.map(|token| (token, NORMAL)).unzip();
    for id in LEAST as u32..len as u32 {
        let (token, kind) = match id {
            END_OF_TEXT => ("<|endoftext|>".to_owned(), CONTROL),
            IM_START => ("<|im_start|>".to_owned(), CONTROL),
            IM_END => ("<|im_end|>".to_owned(), CONTROL),
            _ if id > IM_END => (format!("[PAD{id}]"), UNUSED),
            _ => (format!("w{id:06}"), NORMAL),
        };
        tokens.push(token);
        types.push(kind);
    }
    Vocabulary { tokens, types, merges: MERGES.map(str::to_owned).into() }
}
