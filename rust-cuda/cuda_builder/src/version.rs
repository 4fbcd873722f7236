//! The PTX version that a text names: the lowest that has its instructions.
//!
//! LLVM names the lowest version that the architecture has, and does not look into inline assembly. A driver refuses
//! text of a newer version than its own, so no higher one is named than is needed.

/// What needs a newer version than an architecture's first, and that version (PTX ISA, the notes of each instruction).
const FEATURES: &[(&str, u32)] = &[
    ("cp.async.bulk", 80),
    ("fence.mbarrier_init", 80),
    (".expect_tx", 80),
    ("griddepcontrol", 78),
    ("mbarrier.try_wait", 78),
    (".shared::cta", 78),
    (".shared::cluster", 78),
    (".L1::no_allocate", 74),
    ("mbarrier.test_wait.parity", 71),
];

/// The text with its version raised to what its instructions need.
pub(crate) fn raise(ptx: String) -> String {
    let Some((start, line)) = ptx.match_indices('\n').find_map(|(at, _)| {
        let line = ptx[at + 1..].lines().next()?;
        line.starts_with(".version ").then_some((at + 1, line))
    }) else {
        return ptx;
    };
    let Some(named) = parse(line) else { return ptx };
    let code = |text: &str| !text.trim_start().starts_with("//");
    let needed = FEATURES
        .iter()
        .filter(|(feature, version)| {
            *version > named && ptx.lines().any(|text| text.contains(feature) && code(text))
        })
        .map(|(_, version)| *version)
        .max();
    match needed {
        Some(version) => {
            let raised = format!(".version {}.{}", version / 10, version % 10);
            [&ptx[..start], &raised, &ptx[start + line.len()..]].concat()
        }
        None => ptx,
    }
}

/// The version of a line, 74 for `.version 7.4`.
fn parse(line: &str) -> Option<u32> {
    let (major, minor) = line.strip_prefix(".version ")?.trim().split_once('.')?;
    Some(major.parse::<u32>().ok()? * 10 + minor.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::raise;

    fn text(version: &str, body: &str) -> String {
        format!(
            "//\n// Generated\n//\n\n.version {version}\n.target sm_80\n.visible .entry k() {{\n{body}\nret;\n}}\n"
        )
    }

    fn version(ptx: &str) -> &str {
        ptx.lines().find_map(|line| line.strip_prefix(".version ")).unwrap()
    }

    #[test]
    fn the_newest_instruction_decides() {
        for (body, expected) in [
            ("add.u32 %r1, %r2, %r3;", "7.0"),
            ("ld.global.nc.L1::no_allocate.u32 %r1, [%rd1];", "7.4"),
            ("griddepcontrol.wait;\nld.global.nc.L1::no_allocate.u32 %r1, [%rd1];", "7.8"),
            ("// cp.async.bulk in a comment", "7.0"),
            ("{ .reg .b64 s; mbarrier.arrive.expect_tx.shared::cta.b64 s, [%r1], 16; }", "8.0"),
        ] {
            assert_eq!(version(&raise(text("7.0", body))), expected, "{body}");
        }
    }

    #[test]
    fn a_newer_version_stays_and_so_does_the_rest() {
        let newer = text("8.3", "griddepcontrol.wait;");
        assert_eq!(raise(newer.clone()), newer);
        let raised = raise(text("7.0", "griddepcontrol.wait;"));
        assert_eq!(raised, text("7.8", "griddepcontrol.wait;"));
        assert_eq!(raise("no PTX".to_owned()), "no PTX");
    }
}
