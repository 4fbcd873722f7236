//! Sources that are saved, and the wish to end.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::error::LabError;

/// An editor touches a file several times when it saves: that long nothing more must come.
const QUIET: Duration = Duration::from_millis(50);

enum Event {
    Touched,
    Stop,
}

/// Rust files below some folders, and which of them are saved with other content than before.
///
/// The system only says that something was touched; what counts is the content, so that neither the compilers' reading
/// nor an editor's auxiliary files begin a round.
pub struct Saves {
    folders: Vec<PathBuf>,
    events: Receiver<Event>,
    stop: Sender<Event>,
    _watcher: Option<RecommendedWatcher>,
    /// Each file's content when it was last looked at, as a hash.
    seen: BTreeMap<PathBuf, u64>,
    /// Something was touched since then.
    touched: bool,
    stopped: bool,
}

/// Ends the waiting for saves, from any thread.
#[derive(Clone)]
pub struct Stop(Sender<Event>);

impl Stop {
    /// Ends it.
    pub fn stop(&self) {
        // If nobody waits any more, it has ended.
        let _ = self.0.send(Event::Stop);
    }
}

impl Saves {
    /// Begins to watch folders.
    ///
    /// # Errors
    /// When the system cannot watch them.
    pub fn of(folders: Vec<PathBuf>) -> Result<Self, LabError> {
        let mut saves = Self::none();
        let touched = saves.stop.clone();
        let error = |error: notify::Error| LabError::Watch(error.to_string());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // The compilers open the files, too.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = touched.send(Event::Touched);
            }
        })
        .map_err(error)?;
        for folder in &folders {
            watcher.watch(folder, RecursiveMode::Recursive).map_err(error)?;
        }
        saves.seen = contents(&folders);
        Ok(Self { folders, _watcher: Some(watcher), ..saves })
    }

    /// Watches nothing, and waits for the wish to end alone.
    pub fn none() -> Self {
        let (stop, events) = channel();
        let (folders, seen) = (Vec::new(), BTreeMap::new());
        Self { folders, events, stop, _watcher: None, seen, touched: false, stopped: false }
    }

    /// What ends the waiting.
    pub fn stop(&self) -> Stop {
        Stop(self.stop.clone())
    }

    /// Waits for a save and returns the files that have changed; `None` when it is to end.
    pub fn wait(&mut self) -> Option<Vec<PathBuf>> {
        loop {
            if self.stopped {
                return None;
            }
            if !std::mem::take(&mut self.touched) {
                // The sender is here, so there is always one.
                let event = self.events.recv().ok()?;
                self.take(event);
                continue;
            }
            while !self.stopped {
                match self.events.recv_timeout(QUIET) {
                    Ok(event) => self.take(event),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            self.touched = false;
            let now = contents(&self.folders);
            let changed = changes(&self.seen, &now);
            self.seen = now;
            if !changed.is_empty() && !self.stopped {
                return Some(changed);
            }
        }
    }

    /// Whether there is something to end a round for: a save, or the wish to end.
    pub fn pending(&mut self) -> bool {
        let before = std::mem::take(&mut self.touched);
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
        if self.touched {
            // Kept for `wait` if it is a save.
            self.touched = contents(&self.folders) != self.seen;
        }
        self.touched |= before;
        self.touched || self.stopped
    }

    /// Whether it is to end.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Touched => self.touched = true,
            Event::Stop => self.stopped = true,
        }
    }
}

/// The hash of every Rust file.
fn contents(folders: &[PathBuf]) -> BTreeMap<PathBuf, u64> {
    let mut contents = BTreeMap::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        // What cannot be read has no content: it may be gone again, and the compiler says so if it matters.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let mut hasher = DefaultHasher::new();
                fs::read(&path).unwrap_or_default().hash(&mut hasher);
                contents.insert(path, hasher.finish());
            }
        }
    }
    contents
}

/// The files that are new, gone or other than before.
fn changes(before: &BTreeMap<PathBuf, u64>, now: &BTreeMap<PathBuf, u64>) -> Vec<PathBuf> {
    let differs = |path: &&PathBuf| before.get(*path) != now.get(*path);
    let mut changed: Vec<PathBuf> = before.keys().chain(now.keys()).filter(differs).cloned().collect();
    changed.sort();
    changed.dedup();
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn saves() -> (tempfile::TempDir, Saves) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("a.rs"), "1").unwrap();
        let saves = Saves::of(vec![folder.path().to_owned()]).unwrap();
        (folder, saves)
    }

    fn until_pending(saves: &mut Saves) {
        for _ in 0..1000 {
            if saves.pending() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("nothing is pending after 10 s");
    }

    #[test]
    fn a_save_is_seen_once_with_all_its_files() {
        let (folder, mut saves) = saves();
        let (a, b) = (folder.path().join("a.rs"), folder.path().join("deep/b.rs"));
        fs::write(&a, "2").unwrap();
        fs::write(&b, "3").unwrap();
        until_pending(&mut saves);
        assert_eq!(saves.wait().unwrap(), [a.clone(), b]);
        assert!(!saves.pending());
        fs::remove_file(&a).unwrap();
        assert_eq!(saves.wait().unwrap(), [a]);
    }

    #[test]
    fn what_is_read_or_written_again_or_no_source_is_no_save() {
        let (folder, mut saves) = saves();
        let a = folder.path().join("a.rs");
        fs::write(&a, "1").unwrap();
        fs::write(folder.path().join("a.rs~"), "2").unwrap();
        let _ = fs::read(&a).unwrap();
        thread::sleep(Duration::from_millis(200));
        assert!(!saves.pending());
        // The next save is seen nevertheless.
        fs::write(&a, "4").unwrap();
        assert_eq!(saves.wait().unwrap(), [a]);
    }

    #[test]
    fn the_wish_to_end_ends_the_waiting() {
        let (folder, mut saves) = saves();
        let stop = saves.stop();
        let waiting = thread::spawn(move || (saves.wait(), saves.pending(), saves.stopped()));
        stop.stop();
        assert_eq!(waiting.join().unwrap(), (None, true, true));
        drop(folder);
        stop.stop();
    }
}
