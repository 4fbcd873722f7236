//! A position among the tokens.
use super::lexer::{Kind, Token, column};
use crate::{ParseError, ParseErrorKind};

/// The most characters of the text that a message repeats.
const SHOWN: usize = 40;

/// Tokens that are read one after the other.
pub struct Cursor<'a, 't> {
    text: &'a str,
    tokens: &'t [Token],
    at: usize,
}

impl<'a, 't> Cursor<'a, 't> {
    /// At the first of tokens, of which the last is the end.
    pub fn new(text: &'a str, tokens: &'t [Token]) -> Self {
        Self { text, tokens, at: 0 }
    }

    /// The token after so many others; past the end it is the end.
    pub fn ahead(&self, count: usize) -> Token {
        const NONE: Token = Token { kind: Kind::End, start: 0, end: 0, line: 1 };
        let last = self.tokens.last().copied().unwrap_or(NONE);
        self.tokens.get(self.at + count).copied().unwrap_or(last)
    }

    /// The next token, which stays.
    pub fn peek(&self) -> Token {
        self.ahead(0)
    }

    /// The next token, which is taken. The end is never.
    pub fn next(&mut self) -> Token {
        let token = self.peek();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    /// A token's text.
    pub fn text(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// The text of the next token, if it is a word.
    pub fn peek_word(&self) -> Option<&'a str> {
        let token = self.peek();
        (token.kind == Kind::Word).then(|| self.text(token))
    }

    /// From one token to the end of the line that another is in.
    pub fn rest_of_line(&self, token: Token) -> &'a str {
        self.text[token.end..].lines().next().unwrap_or_default()
    }

    /// The text between two positions in it.
    pub fn slice(&self, start: usize, end: usize) -> &'a str {
        &self.text[start..end]
    }

    /// Whether this sign is next.
    pub fn at_sign(&self, sign: u8) -> bool {
        self.peek().kind == Kind::Sign(sign)
    }

    /// Takes this sign if it is next.
    pub fn take(&mut self, sign: u8) -> bool {
        let found = self.at_sign(sign);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes this sign, which must be next.
    pub fn expect(&mut self, sign: u8, expected: &'static str) -> Result<Token, ParseError> {
        if self.at_sign(sign) { Ok(self.next()) } else { Err(self.expected(expected)) }
    }

    /// Takes a word, which must be next.
    pub fn word(&mut self, expected: &'static str) -> Result<&'a str, ParseError> {
        match self.peek_word() {
            Some(word) => {
                self.at += 1;
                Ok(word)
            }
            None => Err(self.expected(expected)),
        }
    }

    /// Takes a number, which must be next.
    pub fn number(&mut self, expected: &'static str) -> Result<u32, ParseError> {
        match self.peek_word().and_then(|word| word.parse().ok()) {
            Some(number) => {
                self.at += 1;
                Ok(number)
            }
            None => Err(self.expected(expected)),
        }
    }

    /// The error of something else standing here.
    pub fn expected(&self, expected: &'static str) -> ParseError {
        let token = self.peek();
        let found = match token.kind {
            Kind::End => "the end of the text".to_owned(),
            _ => format!("`{}`", self.text(token).chars().take(SHOWN).collect::<String>()),
        };
        self.error(ParseErrorKind::Expected { expected, found })
    }

    /// An error here.
    pub fn error(&self, kind: ParseErrorKind) -> ParseError {
        let token = self.peek();
        ParseError { line: token.line, column: column(self.text, token.start), kind }
    }
}
