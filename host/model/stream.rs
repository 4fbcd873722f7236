//! Text from tokens as they come, whole characters only.

use super::tokenizer::Tokenizer;

/// Turns tokens into text one by one and holds back the bytes of a character until the token that completes it.
#[derive(Debug, Clone)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    held: Vec<u8>,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, held: Vec::new() }
    }

    /// Takes a token and returns the text that is complete with it, which may be empty. Bytes that cannot become a
    /// character are shown as U+FFFD.
    pub fn push(&mut self, id: u32) -> String {
        self.held.extend(self.tokenizer.token_bytes(id));
        let mut text = String::new();
        let mut complete = 0;
        for chunk in self.held.utf8_chunks() {
            text.push_str(chunk.valid());
            complete += chunk.valid().len();
            let rest = &self.held[complete..];
            // The end of what is held may be the start of a character, which more bytes can complete.
            let unfinished = rest.len() == chunk.invalid().len()
                && std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none());
            if unfinished {
                break;
            }
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
                complete += chunk.invalid().len();
            }
        }
        self.held.drain(..complete);
        text
    }

    /// What is still held when no more tokens come.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}
