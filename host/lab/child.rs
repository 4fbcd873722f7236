//! A program that runs until it ends, or until it is not wanted any more.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a running program is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// What happens to a program's standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    /// It goes where ours goes.
    Shown,
    /// It is kept.
    Kept,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    /// What was kept of it.
    pub stderr: String,
}

/// Runs a program; `None` when it was ended, with all programs that it had started, for not being wanted.
pub fn run(
    mut command: Command,
    errors: Errors,
    wanted: &mut dyn FnMut() -> bool,
) -> io::Result<Option<Ended>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(if errors == Errors::Kept { Stdio::piped() } else { Stdio::inherit() });
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take().map(read), child.stderr.take().map(read));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !wanted() {
            end(&mut child)?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PAUSE);
    };
    Ok(Some(Ended { status, stdout: text(stdout), stderr: text(stderr) }))
}

/// Reads a pipe to its end, so that it never fills.
fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

fn text(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Ends a program and what it has started: cargo alone would leave its compilers running.
#[cfg(unix)]
fn end(child: &mut Child) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process_group};
    match kill_process_group(Pid::from_child(child), Signal::TERM) {
        // It has ended meanwhile.
        Err(rustix::io::Errno::SRCH) => Ok(()),
        result => result.map_err(Into::into),
    }
}

#[cfg(not(unix))]
fn end(child: &mut Child) -> io::Result<()> {
    child.kill()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::Instant;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_says_is_kept() {
        let script = "yes line | head -n 100000; echo wrong >&2; exit 3";
        let ended = run(shell(script), Errors::Kept, &mut || true).unwrap().unwrap();
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(3), "wrong\n"));
        assert_eq!(ended.stdout.lines().count(), 100_000);
    }

    #[test]
    fn what_is_not_wanted_ends_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 1; touch {}) & sleep 60", mark.display());
        let start = Instant::now();
        let mut looks = 0;
        let ended = run(shell(&script), Errors::Kept, &mut || {
            looks += 1;
            looks < 5
        });
        assert!(ended.unwrap().is_none() && start.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(1500));
        assert!(!mark.exists(), "a child of the program went on");
    }
}
