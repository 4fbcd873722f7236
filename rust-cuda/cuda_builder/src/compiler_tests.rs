//! Compiler discovery, with toolchains that are shell scripts.
use super::*;
use std::fs;
use tempfile::TempDir;

/// A machine with nothing installed, in a folder.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        Machine { root: tempfile::tempdir().unwrap() }
    }

    fn script(&self, path: &str, body: &str) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Written by another program: what this one has open for writing is also open in what other tests start meanwhile, and
        // such a file cannot be run.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "printf '#!/bin/sh\n%s\n' \"$1\" > \"$0\" && chmod 755 \"$0\""])
            .arg(&path)
            .arg(body);
        assert!(command.status().unwrap().success());
        path
    }

    /// A toolchain whose rustc answers what `probe` asks.
    fn toolchain(&self, name: &str, version: &str) -> PathBuf {
        let sysroot = self.root.path().join(name);
        self.script(&format!("{name}/bin/cargo"), "exit 0");
        let sysroot = sysroot.display();
        self.script(
            &format!("{name}/bin/rustc"),
            &format!(
                "case \"$*\" in
                -vV) echo 'rustc {version}'; echo 'release: {version}';;
                '--print target-cpus --target {TARGET}') echo '    sm_80';;
                '--print sysroot') echo '{sysroot}';;
                '--print target-libdir --target {TARGET}') echo '{sysroot}/lib/rustlib/{TARGET}/lib';;
                *) exit 1;; esac"
            ),
        )
    }

    fn file(&self, path: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn target(&self, toolchain: &str) {
        self.file(&format!("{toolchain}/lib/rustlib/{TARGET}/lib/libcore-0123.rlib"));
    }

    fn source(&self, toolchain: &str) {
        self.file(&format!("{toolchain}/lib/rustlib/src/rust/library/core/Cargo.toml"));
    }

    fn rustup(&self, list: &str) {
        let root = self.root.path().display();
        self.script(
            "rustup",
            &format!("case $1 in toolchain) printf '{list}';; which) echo \"{root}/$3/bin/rustc\";; *) exit 1;; esac"),
        );
    }

    fn places(&self) -> Places {
        let root = self.root.path();
        Places { rustc: None, cargo: None, rustup: root.join("rustup"), system: root.join("system/bin") }
    }

    fn find(&self) -> Result<Compiler, NoCompiler> {
        self.places().find()
    }
}

fn reasons(error: &NoCompiler) -> Vec<&str> {
    error.rejected.iter().map(|rejected| rejected.reason.as_str()).collect()
}

#[test]
fn an_empty_machine_says_what_is_not_there() {
    let error = Machine::new().find().unwrap_err();
    assert_eq!(reasons(&error), ["is not installed", "is not installed"]);
    let text = error.to_string();
    assert!(text.contains("rustup: is not installed") && text.contains("install one with `"), "{text}");
}

#[test]
fn a_toolchain_with_the_target_is_used_as_it_is() {
    let machine = Machine::new();
    machine.rustup("a (default)\\nb\\n");
    machine.toolchain("a", "1.96.0");
    let rustc = machine.toolchain("b", "1.97.0-nightly");
    machine.target("b");
    let compiler = machine.find().unwrap();
    assert_eq!((compiler.rustc, compiler.core), (rustc, Core::Prebuilt));
    assert_eq!(compiler.version, "1.97.0-nightly");
}

#[test]
fn the_active_toolchain_is_preferred() {
    let machine = Machine::new();
    machine.rustup("a\\nb (active, default)\\n");
    for name in ["a", "b"] {
        machine.toolchain(name, "1.96.0");
        machine.source(name);
    }
    let compiler = machine.find().unwrap();
    assert!(compiler.rustc.ends_with("b/bin/rustc"), "{compiler}");
    assert_eq!(compiler.core, Core::Source);
}

#[test]
fn the_systems_compiler_is_the_last_resort() {
    let machine = Machine::new();
    machine.rustup("a (active, default)\\n");
    machine.toolchain("a", "1.96.0");
    machine.toolchain("system", "1.96.0");
    machine.source("system");
    assert!(machine.find().unwrap().rustc.ends_with("system/bin/rustc"));
}

#[test]
fn each_candidate_is_refused_for_its_own_reason() {
    let machine = Machine::new();
    machine.rustup("old (active, default)\\nbare\\nbroken\\nalone\\n");
    machine.toolchain("old", "1.70.0");
    machine.toolchain("bare", "1.96.0");
    machine.script("broken/bin/rustc", "echo 'cannot open shared object' >&2; exit 127");
    machine.toolchain("alone", "1.96.0");
    machine.target("alone");
    fs::remove_file(machine.root.path().join("alone/bin/cargo")).unwrap();
    let error = machine.find().unwrap_err();
    let reasons = reasons(&error);
    assert_eq!(reasons[0], "is version 1.70.0, and kernels need 1.95");
    assert_eq!(reasons[1], "has neither the target nvptx64-nvidia-cuda nor rust-src");
    assert_eq!(reasons[2], "fails: cannot open shared object");
    assert!(reasons[3].starts_with("there is no cargo at"), "{reasons:?}");
    assert_eq!(reasons[4], "is not installed");
}

#[test]
fn a_compiler_without_the_backend_is_refused() {
    let machine = Machine::new();
    machine.script("system/bin/rustc", "case $1 in -vV) echo 'release: 1.96.0';; *) exit 1;; esac");
    assert_eq!(reasons(&machine.find().unwrap_err())[1], "its LLVM cannot compile for nvptx64-nvidia-cuda");
}

#[test]
fn the_named_compiler_is_the_only_candidate() {
    let machine = Machine::new();
    machine.toolchain("system", "1.96.0");
    machine.source("system");
    let rustc = machine.toolchain("mine", "1.96.0");
    let places = Places { rustc: Some(rustc.clone()), ..machine.places() };
    let error = places.find().unwrap_err();
    assert_eq!(error.rejected.len(), 1);
    assert!(error.rejected[0].candidate.starts_with("PSIONIC_RUSTC="));
    assert!(error.to_string().ends_with("); correct PSIONIC_RUSTC or unset it"), "{error}");
    machine.target("mine");
    assert_eq!(places.find().unwrap().rustc, rustc);
    let cargo = machine.script("elsewhere/cargo", "exit 0");
    let places = Places { cargo: Some(cargo.clone()), ..places };
    assert_eq!(places.find().unwrap().cargo, cargo);
}

#[test]
fn what_an_install_changes_is_watched() {
    let machine = Machine::new();
    machine.rustup("home/toolchains/a (active, default)\\n");
    machine.toolchain("home/toolchains/a", "1.96.0");
    machine.file("home/toolchains/a/lib/rustlib/components");
    fs::create_dir(machine.root.path().join("home/update-hashes")).unwrap();
    let watched = machine.find().unwrap_err().watch;
    for file in ["lib/rustlib/components", "home/update-hashes"] {
        assert!(watched.iter().any(|path| path.ends_with(file)), "{file} is missing from {watched:?}");
    }
}
