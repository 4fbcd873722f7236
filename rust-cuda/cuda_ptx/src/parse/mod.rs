//! Parses text into a [`Module`].
//!
//! The grammar is that of the PTX ISA, applied tolerantly: opcodes are not looked up, and an operand of unknown form
//! keeps its parts. Only the structure must be right: braces, terminated statements, names where names belong.
mod body;
mod cursor;
mod lexer;
mod module;
mod operand;

use crate::{Module, ParseError};

/// How far braces, brackets and parentheses may lie in one another.
const MAX_DEPTH: usize = 64;

/// Reads a PTX text.
pub fn parse(text: &str) -> Result<Module<'_>, ParseError> {
    let tokens = lexer::tokens(text)?;
    module::Parser::new(text, &tokens).module()
}
