//! `psionic kernel watch`: a kernel's state after every save.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use psionic::device::{self, BackendChoice};
use psionic::lab::{Lab, Outcome, Saves, Step, Verdict};

use super::failure::{Failure, Kind};
use super::kernel_new::here;
use super::style::{DIM, ERROR, GOOD};
use super::terminal::{note, one_line, print, say};

/// Check, compile, test and measure a kernel after every save
///
/// Works in any folder of a checkout of Psionic. A round is: the kernels as the
/// host sees them (clippy), PTX for the GPU that is here or for sm_90,
/// instructions and, where ptxas is installed, registers and spills with what
/// has changed since the last good round, `kernel test` and, on a GPU, `kernel
/// bench`. A save during a round ends it and begins the next.
///
/// What it compiles is kept in the folder `lab` of the target folder; the
/// first round takes minutes. Ctrl-C ends it, with exit code 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic kernel watch swiglu
  psionic kernel watch swiglu --once")]
pub struct Args {
    /// The kernel
    #[arg(value_name = "NAME")]
    name: String,

    /// Do one round and end, with exit code 1 if it is not good
    #[arg(long)]
    once: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let checkout = here()?;
    let folders = vec![checkout.sources(), checkout.root().join("host/kernel")];
    let root = checkout.root().to_owned();
    let mut lab = Lab::new(checkout, &args.name, capability())?;
    let mut saves = if args.once { Saves::none() } else { Saves::of(folders)? };
    let stop = saves.stop();
    ctrlc::set_handler(move || stop.stop())
        .map_err(|error| Failure::new(Kind::Failed, format_args!("Ctrl-C cannot be waited for: {error}")))?;
    if lab.is_new() {
        note(format_args!(
            "the first round compiles the project into {}, which takes minutes",
            lab.folder().display()
        ));
    }
    let mut head = format!("{}, first round", args.name);
    loop {
        let verdict = round(&mut lab, &mut saves, &head)?;
        if args.once {
            return match verdict {
                Verdict::Good => Ok(()),
                Verdict::Bad(step) => {
                    Err(Failure::new(Kind::Failed, format_args!("{} is not good: see `{step}`", args.name)))
                }
                Verdict::Interrupted => Err(Failure::new(Kind::Failed, "the round was interrupted")),
            };
        }
        match saves.wait() {
            None => return Ok(()),
            Some(changed) => head = format!("{}, {} saved", args.name, names(&root, &changed)),
        }
    }
}

/// The compute capability of the GPU, if there is one that can be used.
fn capability() -> Option<u32> {
    match device::open(BackendChoice::Cuda) {
        Ok(device) => device.info().compute_capability,
        Err(error) => {
            if !error.is_absent() {
                note(format_args!("the GPU is left out: {error}"));
            }
            None
        }
    }
}

/// One block of the view.
fn round(lab: &mut Lab, saves: &mut Saves, head: &str) -> Result<Verdict, Failure> {
    let start = Instant::now();
    print(format_args!("{}\n", one_line(head)))?;
    let mut printed = Ok(());
    let mut wanted = || !saves.pending();
    let verdict = lab.round(&mut wanted, &mut |step| {
        if !step.diagnostics.is_empty() {
            say(step.diagnostics.trim_end());
        }
        if printed.is_ok() {
            printed = print(lines(step));
        }
    })?;
    printed?;
    let time = seconds(start.elapsed());
    match verdict {
        Verdict::Good => print(format_args!("  {GOOD}good{GOOD:#} after {time}\n\n"))?,
        Verdict::Bad(step) => print(format_args!("  {ERROR}not good{ERROR:#}: {step}, after {time}\n\n"))?,
        Verdict::Interrupted => print(format_args!("  {DIM}ended after {time}{DIM:#}\n\n"))?,
    }
    Ok(verdict)
}

/// A step as a line, and lines below it.
fn lines(step: &Step) -> String {
    let (style, sign) = match step.outcome {
        Outcome::Good => (GOOD, "✓"),
        Outcome::Bad => (ERROR, "✗"),
        Outcome::Skipped => (DIM, "–"),
    };
    let time = if step.outcome == Outcome::Skipped { String::new() } else { seconds(step.time) };
    let line = format!(
        "  {style}{sign}{style:#} {:<9} {DIM}{time:>8}{DIM:#}  {}",
        step.name,
        one_line(&step.detail)
    );
    let mut text = line + "\n";
    for line in &step.more {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:25}{}", "", one_line(line));
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Files as the checkout knows them.
fn names(root: &Path, files: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
    files.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(outcome: Outcome, detail: &str, more: &[&str]) -> Step {
        Step {
            name: "registers",
            outcome,
            detail: detail.to_owned(),
            more: more.iter().map(|line| line.to_string()).collect(),
            diagnostics: String::new(),
            time: Duration::from_millis(1234),
        }
    }

    fn plain(step: &Step) -> String {
        anstream::adapter::strip_str(&lines(step)).to_string()
    }

    #[test]
    fn a_step_is_a_line_with_its_outcome_and_its_time() {
        let good = plain(&step(Outcome::Good, "24 registers (-2)", &[]));
        assert_eq!(good, "  ✓ registers   1.23 s  24 registers (-2)\n");
        let bad = plain(&step(Outcome::Bad, "2 wrong", &["first\u{7}", "second"]));
        let indent = " ".repeat(25);
        assert_eq!(bad, format!("  ✗ registers   1.23 s  2 wrong\n{indent}first\\u{{7}}\n{indent}second\n"));
        let skipped = plain(&step(Outcome::Skipped, "no PTX", &[]));
        assert_eq!(skipped, "  – registers           no PTX\n");
    }

    #[test]
    fn files_are_named_as_in_the_checkout() {
        let files = [PathBuf::from("/a/kernels-rs/src/x.rs"), PathBuf::from("/b/y.rs")];
        assert_eq!(names(Path::new("/a"), &files), "kernels-rs/src/x.rs, /b/y.rs");
    }
}
