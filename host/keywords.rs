//! Rust's keywords, which neither a crate nor a function can have for a name.

/// In lower case, also those of the future.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false \
     final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct \
     super trait true try type typeof union unsafe unsized use virtual where while yield";

/// Whether a name is one of them.
pub fn is_keyword(name: &str) -> bool {
    KEYWORDS.split_whitespace().any(|keyword| keyword == name)
}
