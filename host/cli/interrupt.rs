//! Ctrl-C while a file is being written.

use std::sync::Once;

use psionic::part_file;

/// From now on Ctrl-C takes away what is half written, and then ends the program as it does without this.
pub fn discard_parts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Without it Ctrl-C still ends the program; only a hidden part of the file stays.
        let _ = ctrlc::set_handler(|| {
            part_file::discard_all();
            end();
        });
    });
}

/// Ends the process by the signal itself, so that shells see what they expect, and without what runs at a usual exit: the
/// GPU's driver may be in the middle of a call on another thread.
#[cfg(unix)]
fn end() -> ! {
    // SAFETY: the default action is no function of this program, and a handler may be replaced at any time.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    loop {
        // SAFETY: it takes a number, and touches no memory of this program.
        unsafe { libc::kill(libc::getpid(), libc::SIGINT) };
        std::thread::yield_now();
    }
}

#[cfg(not(unix))]
fn end() -> ! {
    std::process::exit(130)
}
