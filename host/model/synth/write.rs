//! Filling and writing the file, on all cores.

use super::super::error::SynthError;
use super::blocks::{Random, fill};
use super::plan::{Plan, SynthSpec, Tensor};
use crate::part_file::{Existing, PartFile};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a thread makes at a time.
const CHUNK: usize = 4 << 20;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SynthSummary {
    /// Tensors in the file.
    pub tensors: usize,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes a synthetic model; the same specification gives the same bytes on every machine. `progress` is told the bytes
/// that are done and all there are.
///
/// The file appears whole or not at all, and takes the place of another.
pub fn write_synthetic(
    spec: &SynthSpec,
    path: &Path,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<SynthSummary, SynthError> {
    let plan = spec.plan()?;
    let failed = |source| SynthError::Io { path: path.to_owned(), bytes: plan.len, source };
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(failed(io::Error::other("it is no regular file")));
    }
    let mut part = PartFile::create(path, Existing::Replace).map_err(failed)?;
    part.file().set_len(plan.len).map_err(failed)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    write_all(&plan, spec.seed, &mut part, threads, progress).map_err(failed)?;
    part.finish().map_err(failed)?;
    Ok(SynthSummary { tensors: plan.tensors.len(), bytes: plan.len })
}

/// One thread's next piece of work.
struct Chunk<'a> {
    tensor: &'a Tensor,
    tensor_index: usize,
    index: usize,
    len: usize,
}

fn chunks(plan: &Plan) -> Vec<Chunk<'_>> {
    let mut all = Vec::new();
    for (tensor_index, tensor) in plan.tensors.iter().enumerate() {
        let block = tensor.kind.block_bytes();
        let most = CHUNK / block;
        for index in 0..tensor.blocks().div_ceil(most) {
            let blocks = most.min(tensor.blocks() - index * most);
            all.push(Chunk { tensor, tensor_index, index, len: blocks * block });
        }
    }
    all
}

impl Chunk<'_> {
    fn make(&self, seed: u64, bytes: &mut Vec<u8>) {
        bytes.resize(self.len, 0);
        // Weights of this deviation keep the scale of what a matrix is multiplied with.
        let std = 1.0 / (self.tensor.dimensions[0] as f64).sqrt();
        fill(self.tensor.kind, std, &mut Random::new(seed, self.tensor_index, self.index), bytes);
    }

    fn offset(&self) -> u64 {
        let block = self.tensor.kind.block_bytes();
        self.tensor.offset + (self.index * (CHUNK / block) * block) as u64
    }
}

/// Writes the header and every tensor; what lies between them is left as it is.
fn write_all(
    plan: &Plan,
    seed: u64,
    file: &mut (impl Write + Seek + Send),
    threads: usize,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> io::Result<()> {
    file.write_all(&plan.header)?;
    let chunks = chunks(plan);
    let next = AtomicUsize::new(0);
    let total = plan.len;
    // Copying into the page cache is several times faster than making the bytes, so one writer at a time is enough.
    let sink = Mutex::new((file, progress, plan.header.len() as u64));
    let work = || -> io::Result<()> {
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            chunk.make(seed, &mut bytes);
            let mut sink = sink.lock().map_err(|_| io::Error::other("another thread panicked"))?;
            let (file, progress, done) = &mut *sink;
            let written = file.seek(SeekFrom::Start(chunk.offset())).and_then(|_| file.write_all(&bytes));
            if written.is_err() {
                next.store(chunks.len(), Ordering::Relaxed);
            }
            written?;
            *done += bytes.len() as u64;
            progress(*done, total);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn tiny() -> SynthSpec {
        SynthSpec { layers: 1, vocab: 40_000, ..SynthSpec::new("tiny", 3).unwrap() }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let plan = tiny().plan().unwrap();
        let written = |threads, seed| {
            let mut file = Cursor::new(vec![0; plan.len as usize]);
            write_all(&plan, seed, &mut file, threads, &mut |_, _| {}).unwrap();
            file.into_inner()
        };
        let one = written(1, 3);
        assert!(chunks(&plan).len() > plan.tensors.len(), "a tensor is made of several chunks");
        assert!(one == written(5, 3));
        assert!(one != written(1, 4));
    }

    /// A disk with room for this many bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Full {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }

    #[test]
    fn a_full_disk_ends_every_thread_with_its_error() {
        let plan = tiny().plan().unwrap();
        for room in [0, plan.header.len(), plan.len as usize / 2] {
            let error = write_all(&plan, 3, &mut Full(room), 4, &mut |_, _| {}).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }
}
