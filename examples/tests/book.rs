//! The book shows no code but that of files which are compiled and tested: every block of Rust is an include of such a
//! file, or of a part of it that is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders of crates that the tests compile, and of the project that `psionic new` makes, whose test compiles it.
const COMPILED: [&str; 4] = ["examples/", "kernels-rs/", "rust-cuda/", "host/"];

/// The repository's folder. A test program that was built elsewhere is told by the environment.
fn root() -> PathBuf {
    let here: PathBuf =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into();
    here.parent().unwrap().canonicalize().unwrap()
}

/// The pages with their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(root().join("docs/book/src")).unwrap();
    files
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Checks that what `{{#include FILE}}` or `{{#include FILE:ANCHOR}}` names is there; gives the file.
fn included(page: &Path, line: &str) -> PathBuf {
    let inside = line.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"));
    let inside = inside.unwrap_or_else(|| panic!("{}: `{line}` is code of the book's own", page.display()));
    let (file, anchor) = inside.split_once(':').map_or((inside, None), |(file, anchor)| (file, Some(anchor)));
    let path = page.parent().unwrap().join(file).canonicalize();
    let path = path.unwrap_or_else(|error| panic!("{}: {file}: {error}", page.display()));
    if let Some(anchor) = anchor {
        let text = fs::read_to_string(&path).unwrap();
        let at = |mark: &str| {
            let named = |line: &str| {
                line.split_once(mark).is_some_and(|(_, rest)| rest.trim_end_matches(" -->").trim() == anchor)
            };
            text.lines().position(named)
        };
        let (start, end) = (at(" ANCHOR: "), at(" ANCHOR_END: "));
        assert!(start.is_some() && start < end, "{}: {file} has no part `{anchor}`", page.display());
    }
    path
}

#[test]
fn every_block_of_code_is_a_tested_file() {
    let root = root();
    let mut blocks = 0;
    for (page, text) in pages() {
        let mut language = None;
        for line in text.lines() {
            match (language, line.strip_prefix("```")) {
                (None, Some(tag)) => {
                    assert!(
                        ["rust", "console", "text"].contains(&tag),
                        "{}: a block of `{tag}`",
                        page.display()
                    );
                    language = Some(tag);
                    blocks += usize::from(tag == "rust");
                }
                (Some(_), Some(_)) => language = None,
                (Some("rust"), None) => {
                    let file = included(&page, line);
                    let inside = file.strip_prefix(&root).unwrap().to_str().unwrap();
                    let compiled = COMPILED.iter().any(|folder| inside.starts_with(folder));
                    assert!(
                        compiled && inside.ends_with(".rs"),
                        "{}: {inside} is not compiled",
                        page.display()
                    );
                }
                (None, None) if line.starts_with("{{#include") => drop(included(&page, line)),
                _ => {}
            }
        }
        assert_eq!(language, None, "{}: a block does not end", page.display());
    }
    assert!(blocks >= 20, "{blocks} blocks of Rust");
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_listed() {
    let mut listed = BTreeSet::from(["SUMMARY.md".to_owned()]);
    let mut pages_there = BTreeSet::new();
    for (page, text) in pages() {
        pages_there.insert(page.file_name().unwrap().to_str().unwrap().to_owned());
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.starts_with("https://") {
                continue;
            }
            // mdBook makes `.html` of every `.md`, and has only those of this folder.
            let there = !file.contains('/') && page.with_file_name(file).is_file();
            assert!(there, "{} links to {target}", page.display());
            if page.ends_with("SUMMARY.md") {
                listed.insert(file.to_owned());
            }
        }
    }
    assert_eq!(listed, pages_there);
}

#[test]
fn code_of_the_books_own_is_refused() {
    let page = root().join("docs/book/src/introduction.md");
    let refused = |line: &str| {
        let (page, line) = (page.clone(), line.to_owned());
        std::panic::catch_unwind(move || included(&page, &line)).is_err()
    };
    assert!(refused("let x = 1;"));
    assert!(refused("{{#include ../../../examples/kernels/src/no_such_file.rs}}"));
    assert!(refused("{{#include ../../../examples/kernels/src/traps.rs:no_such_part}}"));
    assert!(!refused("{{#include ../../../examples/kernels/src/traps.rs:barrier}}"));
}
