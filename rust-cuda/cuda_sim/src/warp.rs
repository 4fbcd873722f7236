//! Operations in which the lanes of a warp meet: shuffles, votes, reductions, matrix fragments.

use std::panic::Location;
use std::rc::Rc;

use crate::fault::FaultKind;
use crate::fiber::{Thread, Wait};

/// Lanes of a warp.
pub const WARP: u32 = 32;

/// What a lane gets from an operation: computed from every lane's value and argument, the mask and its own number.
///
/// # Errors
/// A mistake, such as reading from a lane outside the mask.
pub type Combine = fn(&[u64; 32], &[u32; 32], u32, u32) -> Result<u64, FaultKind>;

/// A lane in an operation.
#[derive(Clone, Copy)]
pub(crate) struct WarpWait {
    pub mask: u32,
    pub operation: &'static str,
    pub value: u64,
    pub argument: u32,
    /// `None`: every lane gets what all offered.
    pub combine: Option<Combine>,
    pub at: &'static Location<'static>,
}

/// The lanes of `warp` that wait in an operation whose every named lane has arrived go on. Whether any did.
pub(crate) fn release(warp: &[Box<Thread>]) -> Result<bool, (usize, FaultKind)> {
    let waiting = |lane: usize| match warp.get(lane).map(|t| t.wait.get()) {
        Some(Wait::Warp(w)) => Some(w),
        _ => None,
    };
    let mut released = false;
    for lane in 0..warp.len() {
        let Some(op) = waiting(lane) else { continue };
        if op.mask & (1 << lane) == 0 {
            let detail =
                format!("{} names the lanes {:#010x}, not its own lane {lane}", op.operation, op.mask);
            return Err((lane, FaultKind::DivergentWarp { detail }));
        }
        // As on a GPU, lanes that have ended (or that the block does not have) are not waited for.
        let alive = |l: usize| warp.get(l).is_some_and(|t| !matches!(t.wait.get(), Wait::Ended));
        let lanes: Vec<usize> = (0..32).filter(|l| op.mask & (1 << l) != 0 && alive(*l)).collect();
        let mut all_here = true;
        for &other in &lanes {
            match waiting(other) {
                Some(o) if o.operation == op.operation && o.mask == op.mask => {}
                Some(o) => {
                    let detail = format!(
                        "lane {lane} waits in {} (mask {:#010x}, {}), lane {other} in {} (mask {:#010x}, {})",
                        op.operation, op.mask, op.at, o.operation, o.mask, o.at
                    );
                    return Err((lane, FaultKind::DivergentWarp { detail }));
                }
                None => all_here = false,
            }
        }
        if all_here {
            finish(warp, &lanes, op.combine)?;
            released = true;
        }
    }
    Ok(released)
}

fn finish(warp: &[Box<Thread>], lanes: &[usize], combine: Option<Combine>) -> Result<(), (usize, FaultKind)> {
    let (mut values, mut arguments, mut present) = ([0; 32], [0; 32], 0);
    for &lane in lanes {
        if let Wait::Warp(w) = warp[lane].wait.get() {
            (values[lane], arguments[lane]) = (w.value, w.argument);
        }
        present |= 1 << lane;
    }
    match combine {
        Some(combine) => {
            for &lane in lanes {
                let result = combine(&values, &arguments, present, lane as u32).map_err(|e| (lane, e))?;
                warp[lane].result.set(result);
            }
        }
        None => {
            let mut all = vec![Vec::new(); 32];
            for &lane in lanes {
                all[lane] = warp[lane].offered.take();
            }
            let all = Rc::new(all);
            for &lane in lanes {
                warp[lane].gathered.replace(Some(Rc::clone(&all)));
            }
        }
    }
    for &lane in lanes {
        warp[lane].wait.set(Wait::Ready);
    }
    Ok(())
}
