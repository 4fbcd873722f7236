//! Text in tokens.
use crate::{ParseError, ParseErrorKind};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name, an opcode, a directive or a number.
    Word,
    /// In quotes.
    String,
    /// One character.
    Sign(u8),
    /// After the last.
    End,
}

/// A piece of text.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    pub kind: Kind,
    /// Bytes of the text.
    pub start: usize,
    pub end: usize,
    pub line: u32,
}

/// The tokens of a text, the last of which is [`Kind::End`]. Comments are left out.
pub fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    Lexer { text, bytes: text.as_bytes(), at: 0, line: 1, tokens: Vec::with_capacity(text.len() / 4) }.run()
}

/// The column of a byte in a text, in characters from 1.
pub fn column(text: &str, at: usize) -> u32 {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    u32::try_from(line.chars().count()).unwrap_or(u32::MAX).saturating_add(1)
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u32,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(mut self) -> Result<Vec<Token>, ParseError> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                // Lines of a preprocessor.
                b'#' => self.skip_line(),
                b'/' if self.peek(1) == Some(b'/') => self.skip_line(),
                b'/' if self.peek(1) == Some(b'*') => self.comment()?,
                b'"' => self.string()?,
                _ if is_word(byte) => self.word(),
                _ if byte.is_ascii_graphic() => self.push(Kind::Sign(byte), 1),
                // A file of C strings may end so.
                0 if self.bytes[self.at..].iter().all(|byte| *byte == 0) => break,
                _ => {
                    let character = self.text[self.at..].chars().next().unwrap_or('\0');
                    return Err(self.error(self.at, ParseErrorKind::Character(character)));
                }
            }
        }
        self.push(Kind::End, 0);
        Ok(self.tokens)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn push(&mut self, kind: Kind, length: usize) {
        self.tokens.push(Token { kind, start: self.at, end: self.at + length, line: self.line });
        self.at += length;
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn comment(&mut self) -> Result<(), ParseError> {
        let Some(length) = self.text[self.at + 2..].find("*/") else {
            return Err(self.error(self.at, ParseErrorKind::UnterminatedComment));
        };
        let end = self.at + 2 + length + 2;
        self.line += count_lines(&self.bytes[self.at..end]);
        self.at = end;
        Ok(())
    }

    fn string(&mut self) -> Result<(), ParseError> {
        let mut length = 1;
        loop {
            match self.peek(length) {
                Some(b'"') => break,
                Some(b'\\') if self.peek(length + 1).is_some_and(|byte| byte != b'\n') => length += 2,
                None | Some(b'\n') => return Err(self.error(self.at, ParseErrorKind::UnterminatedString)),
                Some(_) => length += 1,
            }
        }
        self.push(Kind::String, length + 1);
        Ok(())
    }

    fn word(&mut self) {
        let number = self.peek(0).is_some_and(|byte| byte.is_ascii_digit());
        let hexadecimal = number && matches!(self.peek(1), Some(b'x' | b'X' | b'f' | b'F' | b'd' | b'D'));
        let mut length = 1;
        while let Some(byte) = self.peek(length) {
            let digit = |ahead| self.peek(ahead).is_some_and(|byte| byte.is_ascii_digit());
            let sign = matches!(byte, b'+' | b'-')
                && number
                && !hexadecimal
                && matches!(self.peek(length - 1), Some(b'e' | b'E'))
                && digit(length + 1);
            // `L1::no_allocate` is one word, the colon of a label none.
            let path = byte == b':'
                && self.peek(length + 1) == Some(b':')
                && self.peek(length + 2).is_some_and(is_word);
            if is_word(byte) || sign {
                length += 1;
            } else if path {
                length += 2;
            } else {
                break;
            }
        }
        self.push(Kind::Word, length);
    }

    fn error(&self, at: usize, kind: ParseErrorKind) -> ParseError {
        ParseError { line: self.line, column: column(self.text, at), kind }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_$%.".contains(&byte)
}

fn count_lines(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX)
}
