//! Why a text is not PTX.

/// Where a text stops being PTX, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: u32,
    /// The column, in characters from 1.
    pub column: u32,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Something else has to stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What has to.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A comment has no end.
    #[error("the comment that begins here has no end; close it with */")]
    UnterminatedComment,
    /// A string has no end.
    #[error("the string that begins here has no end on its line; close it with \"")]
    UnterminatedString,
    /// A character that PTX does not know.
    #[error("expected PTX, found the character {0:?}")]
    Character(char),
    /// Braces, brackets or parentheses in one another.
    #[error("expected at most {0} levels of braces, brackets and parentheses, found more")]
    TooDeep(usize),
}
