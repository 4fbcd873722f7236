//! A new kernel with all that belongs to one: source and reference, test, cases.

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use super::changes::Changes;
use super::checkout::{Checkout, KERNELS_LIB};
use super::error::LabError;
use super::name;

/// What the templates call the kernel.
const PLACEHOLDER: &str = "new_kernel";

/// A file of a kernel, and the line that makes it a module.
struct Part {
    folder: &'static str,
    template: &'static str,
    /// The file with the line.
    parent: &'static str,
    /// What the line begins with.
    keyword: &'static str,
}

const PARTS: [Part; 3] = [
    Part {
        folder: "kernels-rs/src",
        template: include_str!("template/kernel.rs"),
        parent: KERNELS_LIB,
        keyword: "pub mod",
    },
    Part {
        folder: "host/kernel/cases",
        template: include_str!("template/cases.rs"),
        parent: LIST,
        keyword: "mod",
    },
    Part {
        folder: "host/tests/kernels",
        template: include_str!("template/test.rs"),
        parent: "host/tests/kernels/mod.rs",
        keyword: "mod",
    },
];

/// The file with the list of kernels.
const LIST: &str = "host/kernel/cases/mod.rs";

/// Where the list of kernels begins and ends.
const LIST_BEGIN: &str = "pub static KERNELS: &[Kernel] = &[\n";
const LIST_END: &str = "];\n";

/// What it takes to add a kernel called `name`; nothing is written yet.
///
/// # Errors
/// When the name is taken or none, or a source file is not as it was when this program was built.
pub fn scaffold(checkout: &Checkout, name: &str) -> Result<Changes, LabError> {
    name::check(name)?;
    let mut changes = Changes::default();
    for Part { folder, template, parent, keyword } in PARTS {
        let module = checkout.root().join(folder).join(name);
        let file = module.with_extension("rs");
        if let Some(path) = [file.clone(), module].into_iter().find(|path| path.symlink_metadata().is_ok()) {
            return Err(LabError::Taken { name: name.to_owned(), path });
        }
        changes.create(file, template.replace(PLACEHOLDER, name));
        let parent_path = checkout.root().join(parent);
        let before = fs::read_to_string(&parent_path).map_err(LabError::io(&parent_path))?;
        let mut text = with_module(&before, keyword, name, &parent_path)?;
        if parent == LIST {
            text = with_entry(&text, name, &parent_path)?;
        }
        changes.rewrite(parent_path, before, text);
    }
    Ok(changes)
}

/// Adds a module to the first ones that a file declares, in their order.
fn with_module(text: &str, keyword: &str, name: &str, path: &Path) -> Result<String, LabError> {
    let declared = |line: &str| {
        let module = line.strip_prefix(keyword)?.strip_prefix(' ')?.strip_suffix(";\n")?;
        Some(by_version(module, name))
    };
    let mut at = 0;
    let mut place = None;
    for line in text.split_inclusive('\n') {
        match declared(line) {
            Some(Ordering::Equal) => {
                return Err(LabError::Taken { name: name.to_owned(), path: path.to_owned() });
            }
            Some(Ordering::Less) => place = Some(at + line.len()),
            Some(Ordering::Greater) => {
                place = place.or(Some(at));
            }
            // Behind the first ones there may be others.
            None if place.is_some() => break,
            None => {}
        }
        at += line.len();
    }
    let place = place.ok_or(LabError::Unexpected { expected: "a list of modules", path: path.to_owned() })?;
    let (before, after) = text.split_at(place);
    Ok(format!("{before}{keyword} {name};\n{after}"))
}

/// Adds a kernel at the end of the list.
fn with_entry(text: &str, name: &str, path: &Path) -> Result<String, LabError> {
    let list = text.find(LIST_BEGIN).map(|at| at + LIST_BEGIN.len());
    let end = list.and_then(|list| Some(list + text[list..].find(LIST_END)?));
    let end = end.ok_or(LabError::Unexpected { expected: "the list of kernels", path: path.to_owned() })?;
    let (before, after) = text.split_at(end);
    Ok(format!("{before}    {name}::KERNEL,\n{after}"))
}

/// The order of rustfmt: an underscore is before everything else, and a number counts as a number.
fn by_version(a: &str, b: &str) -> Ordering {
    fn keys(name: &str) -> Vec<(u8, u64, char)> {
        let mut keys: Vec<(u8, u64, char)> = Vec::new();
        for c in name.chars() {
            match (c.to_digit(10), keys.last_mut()) {
                (Some(digit), Some((1, number, _))) => {
                    *number = number.saturating_mul(10).saturating_add(digit.into())
                }
                (Some(digit), _) => keys.push((1, digit.into(), '0')),
                (None, _) => keys.push((if c == '_' { 0 } else { 2 }, 0, c)),
            }
        }
        keys
    }
    keys(a).cmp(&keys(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "lib.rs";

    fn module(text: &str, keyword: &str, name: &str) -> Result<String, LabError> {
        with_module(text, keyword, name, Path::new(PATH))
    }

    #[test]
    fn a_module_is_added_to_the_first_ones_in_their_order() {
        let text = "//! Kernels.\n\npub mod b;\npub mod d;\n\npub mod a;\nmod c;\n";
        let with = |name| module(text, "pub mod", name).unwrap();
        assert_eq!(with("aa"), text.replace("pub mod b;", "pub mod aa;\npub mod b;"));
        assert_eq!(with("c"), text.replace("pub mod d;", "pub mod c;\npub mod d;"));
        assert_eq!(with("e"), text.replace("pub mod d;\n", "pub mod d;\npub mod e;\n"));
        assert!(matches!(module(text, "pub mod", "d"), Err(LabError::Taken { .. })));
        assert!(matches!(module("//! Nothing.\n", "mod", "a"), Err(LabError::Unexpected { .. })));
    }

    #[test]
    fn the_order_is_that_of_rustfmt() {
        let mut names = ["rms10", "rms_norm", "rms2", "rms", "rmsnorm", "r"];
        names.sort_by(|a, b| by_version(a, b));
        assert_eq!(names, ["r", "rms", "rms_norm", "rms2", "rms10", "rmsnorm"]);
    }

    #[test]
    fn a_kernel_is_added_at_the_end_of_the_list() {
        let text = format!("a\n];\n{LIST_BEGIN}    b::KERNEL,\n{LIST_END}\nfn c() {{}}\n");
        let with = with_entry(&text, "x", Path::new(PATH)).unwrap();
        assert_eq!(with, text.replace("b::KERNEL,\n", "b::KERNEL,\n    x::KERNEL,\n"));
        assert!(matches!(with_entry("", "x", Path::new(PATH)), Err(LabError::Unexpected { .. })));
    }
}
