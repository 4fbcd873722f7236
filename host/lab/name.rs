//! What a kernel may be called.

use super::error::LabError;
use crate::keywords::is_keyword;

/// Longer ones would not fit the lines of what is generated.
const LONGEST: usize = 32;

/// Names that mean something else in the files that a kernel's name is written to.
const RESERVED: [&str; 3] = [
    // Types and crates.
    "alloc bool char core cuda_std psionic psionic_kernels std str \
     f16 f32 f64 f128 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize",
    // What a kernel imports from `cuda_std`.
    "atomic bf16 copy_async dot float global grid half kernel misc mma shared shared_array thread warp",
    // What stands for all kernels, and what is beside the kernel in a file.
    "all bound lib main reference test",
];

/// Refuses what cannot be the name of a function and its module.
pub fn check(name: &str) -> Result<(), LabError> {
    let refuse = |expected| Err(LabError::Name { expected, found: name.to_owned() });
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(word) {
        return refuse("a name of small letters, digits and underscores that begins with a letter");
    }
    if name.ends_with('_') || name.contains("__") {
        return refuse("a name with single underscores between its words");
    }
    if name.len() > LONGEST {
        return refuse("a name of at most 32 characters");
    }
    let mut reserved = RESERVED.iter().flat_map(|names| names.split_whitespace());
    if is_keyword(name) || reserved.any(|reserved| reserved == name) {
        return refuse("a name that means nothing else in Rust or in a kernel");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions_are_taken_and_others_refused() {
        for name in ["scale", "rms_norm_2", "x", "softmax1", &"a".repeat(LONGEST)] {
            assert!(check(name).is_ok(), "{name}");
        }
        let long = "a".repeat(LONGEST + 1);
        for name in [
            "", "Scale", "2x", "_x", "x_", "a__b", "a-b", "a/b", "../x", "a.rs", "é", "fn", "gen", "grid",
            &long,
        ] {
            assert!(matches!(check(name), Err(LabError::Name { .. })), "{name}");
        }
    }
}
