//! From text to [`Module`].
//!
//! The grammar is that of the PTX ISA, read with tolerance: opcodes are not looked up, and an operand of a form that is
//! not known keeps its parts. What must be right is the structure: braces, statements that end, names where names belong.
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
