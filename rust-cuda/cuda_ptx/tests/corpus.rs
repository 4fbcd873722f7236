//! Foreign PTX, each file written by hand for a part of the language, and what becomes of it when it is damaged.
use std::{collections::BTreeMap, fs, path::PathBuf};

use cuda_ptx::{
    FunctionAnalysis, analyse,
    class::Class,
    lint::{Lint, lint},
    parse,
    tool::{Tool, assemble, disassemble},
};

fn corpus() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn analysed(name: &str) -> Vec<FunctionAnalysis> {
    let text = &corpus()[name];
    let module = parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    analyse(&module)
}

#[test]
fn every_file_is_read_and_only_one_has_what_is_not_known() {
    for (name, text) in corpus() {
        let module = parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let functions = analyse(&module);
        assert!(functions.iter().any(|function| function.mix.instructions > 0), "{name}");
        for function in functions {
            let unknown: Vec<&String> = function.mix.unknown.keys().collect();
            assert_eq!(unknown.is_empty(), name != "unknown.ptx", "{name}: {unknown:?}");
            let blocks: u64 = function.blocks.iter().map(|block| block.mix.instructions).sum();
            assert_eq!(blocks, function.mix.instructions, "{name}");
        }
        lint(&module);
    }
}

/// The files are what they claim to be: NVIDIA's assembler accepts them, and counts the same shared memory.
#[test]
fn the_assembler_agrees() {
    if Tool::Ptxas.find().is_err() {
        println!("skipped: there is no ptxas");
        return;
    }
    for (name, text) in corpus().into_iter().filter(|(name, _)| name != "unknown.ptx") {
        let module = parse(&text).unwrap();
        // The toolkit's version 13 no longer has sm_70.
        let target = module.targets[0].replace("sm_70", "sm_75");
        let assembled = assemble(&text, &target).unwrap_or_else(|error| panic!("{name}: {error}"));
        for function in analyse(&module).into_iter().filter(|function| function.entry) {
            let resources = &assembled.resources[&function.name];
            let found = u64::from(resources.shared_bytes);
            // Some architectures and clusters take some for themselves.
            assert!(found >= function.shared.static_bytes, "{name}: {found}");
            assert!(resources.registers > 0, "{name}");
        }
        if Tool::Nvdisasm.find().is_ok() {
            let sass = disassemble(&assembled).unwrap();
            for entry in assembled.resources.keys().filter(|entry| *entry != "scaled" && *entry != "helper") {
                let sass = sass.iter().find(|function| function.name == *entry).unwrap();
                assert!(sass.instructions().any(|line| line.text.contains("EXIT")), "{name}: {sass:?}");
                assert!(sass.instructions().any(|line| line.ptx_line.is_some()), "{name}");
            }
        }
    }
}

#[test]
fn functions_have_parameters_variables_and_calls() {
    let functions = analysed("functions.ptx");
    let apply = &functions[0];
    let params: Vec<_> = apply.params.iter().map(|p| (p.name.as_str(), p.ty.as_str(), p.bytes)).collect();
    assert_eq!(params, [("out", "u64", 8), ("n", "u32", 4)]);
    assert_eq!((apply.max_threads, apply.min_blocks, apply.local_bytes), (Some(128), Some(2), 8));
    assert_eq!((apply.mix.count(Class::Double), apply.mix.count(Class::Control)), (1, 4));
    assert_eq!(apply.divergent_branches.len(), 1);
    assert_eq!(functions[1].params[1].ty, "b8[8]");
    let text = &corpus()["functions.ptx"];
    let module = parse(text).unwrap();
    let bytes: Vec<_> = module.variables.iter().map(|v| (v.name, v.bytes())).collect();
    assert_eq!(
        bytes,
        [
            ("text", 12),
            ("pointers", 16),
            ("weights", 16),
            ("origin", 16),
            ("matrix", 24),
            ("mask", 4),
            ("partial", 256)
        ]
    );
    let lints: Vec<Lint> = lint(&module).iter().map(|finding| finding.lint).collect();
    assert_eq!(lints, [Lint::Double, Lint::GenericAccess, Lint::UnscopedAtomic]);
}

#[test]
fn control_flow_is_followed_through_tables_scopes_and_loops() {
    let switch = &analysed("control.ptx")[0];
    assert_eq!(switch.max_threads, Some(64));
    let label =
        |name: &str| switch.blocks.iter().position(|block| block.label.as_deref() == Some(name)).unwrap();
    let table = &switch.blocks[label("LOOP")];
    assert!(["CASE0", "CASE1", "CASE2"].into_iter().all(|case| table.successors.contains(&label(case))));
    assert_eq!(switch.blocks[label("CASE1")].loop_depth, 1);
    let loops: Vec<_> = switch
        .blocks
        .iter()
        .filter(|block| block.label.as_deref() == Some("AGAIN"))
        .map(|block| block.successors.contains(&block.index))
        .collect();
    assert_eq!(loops, [true, true]);
}

#[test]
fn lines_carry_what_they_were_inlined_to() {
    let text = &corpus()["lines.ptx"];
    let module = parse(text).unwrap();
    let body = module.functions[0].body.as_ref().unwrap();
    let load = body.instructions().find(|instruction| instruction.opcode == "ld.global.f32").unwrap();
    let place = &module.places[load.place.unwrap() as usize];
    let lines: Vec<_> = place.0.iter().map(|location| (module.file(location.file), location.line)).collect();
    assert_eq!(lines, [(Some("/src/inline.h"), 44), (Some("/src/saxpy.cu"), 12)]);
}

#[test]
fn copies_barriers_and_clusters_are_told_apart() {
    let pipeline = &analysed("async.ptx")[0];
    assert!(pipeline.shared.dynamic);
    assert_eq!((pipeline.shared.static_bytes, pipeline.barriers), (16, 2));
    assert_eq!(pipeline.mix.count(Class::AsyncCopy), 9);
    let wide = pipeline.mix.memory.iter().find(|group| group.memory.policy == "nc.L1::no_allocate.L2::256B");
    assert_eq!(wide.map(|group| group.memory.bytes), Some(16));
    assert!(lint(&parse(&corpus()["async.ptx"]).unwrap()).is_empty());
}

#[test]
fn what_is_not_known_is_counted() {
    let k = &analysed("unknown.ptx")[0];
    let unknown: Vec<(&str, u64)> =
        k.mix.unknown.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(unknown, [("quantum.entangle.b64", 1), ("quantum.measure.shared::galaxy.v16.q128", 1)]);
    assert_eq!(k.mix.count(Class::GlobalMemory), 1);
}

#[test]
fn errors_say_where() {
    for (text, expected) in [
        ("", "line 1, column 1: expected `.version`, with which PTX begins, found the end of the text"),
        ("hello", "line 1, column 1: expected `.version`, with which PTX begins, found `hello`"),
        (
            ".version 8.0\n",
            "line 2, column 1: expected `.target`, which names the architecture, found the end of the text",
        ),
        (".version eight", "line 1, column 10: expected a version such as 8.0, found `eight`"),
        (
            ".version 8.0 .target sm_90\n.entry k() {\n  add.s32 %r1, [%r2;\n}",
            "line 3, column 20: expected an operand or `]`, found `;`",
        ),
        (
            ".version 8.0 .target sm_90\n.entry k() {\n  ret;",
            "line 3, column 7: expected a statement or `}`, found the end of the text",
        ),
        (
            ".version 8.0 .target sm_90\n.entry k() { ret }",
            "line 2, column 18: expected an operand or `;`, found `}`",
        ),
        (
            ".version 8.0 .target sm_90\n /* é",
            "line 2, column 2: the comment that begins here has no end; close it with */",
        ),
        (
            ".version 8.0 .target sm_90\n.file 1 \"é\n",
            "line 2, column 9: the string that begins here has no end on its line; close it with \"",
        ),
        (".version 8.0 .target sm_90\n/*é*/ §", "line 2, column 7: expected PTX, found the character '§'"),
        (
            ".version 8.0 .target sm_90\n.entry ;",
            "line 2, column 8: expected the name of a function, found `;`",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected);
    }
    let deep = format!(".version 8.0 .target sm_90 .entry k() {{ mov {} }}", "{".repeat(100_000));
    assert!(parse(&deep).unwrap_err().to_string().contains("at most 64 levels"));
    let deep = format!(".version 8.0 .target sm_90 .entry k() {}", "{".repeat(100_000));
    assert!(parse(&deep).unwrap_err().to_string().contains("at most 64 levels"));
}

/// A generator of numbers that is the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % below.max(1) as u64).unwrap()
    }
}

/// Whatever a text is, reading it ends, with a module that everything can look at or with an error within the text.
fn survives(text: &str) {
    match parse(text) {
        Ok(module) => {
            analyse(&module);
            lint(&module);
        }
        Err(error) => {
            let line =
                text.split('\n').nth(error.line as usize - 1).unwrap_or_else(|| panic!("{error}\n{text}"));
            assert!(error.column as usize <= line.chars().count() + 1, "{error}\n{text}");
        }
    }
    cuda_ptx::lines::compact(text);
}

#[test]
fn a_text_may_end_anywhere() {
    for text in corpus().values() {
        for (at, _) in text.char_indices() {
            survives(&text[..at]);
        }
    }
}

#[test]
fn a_text_may_be_anything() {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        ";",
        ",",
        ":",
        "@",
        "!",
        "|",
        "-",
        "+",
        "\"",
        "//",
        "/*",
        "*/",
        ".loc 1 2 3",
        ".reg",
        "%r<",
        ">",
        "=",
        ".entry",
        ".func",
        "k",
        ".param",
        "bra L;",
        "L:",
        "brx.idx %r1, T;",
        "\n",
        "\0",
        "é",
        "// @0 1:2:3 @0\n",
        "T: .branchtargets L;",
        "99999999999999999999",
        ".align",
        "call (x), f, (y);",
        ".shared .b8 s[",
    ];
    let mut random = Random(7);
    for text in corpus().values() {
        for _ in 0..300 {
            let mut damaged = text.clone();
            for _ in 0..=random.next(4) {
                let mut at = random.next(damaged.len());
                while !damaged.is_char_boundary(at) {
                    at -= 1;
                }
                let piece = PIECES[random.next(PIECES.len())];
                match random.next(3) {
                    0 => damaged.insert_str(at, piece),
                    1 => {
                        let end = (at + random.next(40)).min(damaged.len());
                        let end = (end..=damaged.len()).find(|&end| damaged.is_char_boundary(end)).unwrap();
                        damaged.replace_range(at..end, piece);
                    }
                    _ => {
                        let moved = damaged.split_off(at);
                        damaged = moved + &damaged;
                    }
                }
            }
            survives(&damaged);
        }
    }
}
