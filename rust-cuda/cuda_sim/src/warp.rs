//! Operations in which the lanes of a warp meet: shuffles, votes, reductions, matrix fragments.

use std::ptr;
use std::rc::Rc;

use crate::fault::FaultKind;
use crate::fiber::{Fiber, State};

/// Lanes of a warp.
pub const WARP: u32 = 32;

/// What a lane offers to the others of a gather.
pub type Offer = [u32; 8];

/// What the lanes of a warp offered, in lane order.
pub type Gathered = [Offer; 32];

/// A meeting of lanes: what they brought, and what they get.
pub struct Meeting {
    /// The lanes that take part, a bit each.
    pub mask: u32,
    /// Each lane's value.
    pub values: [u64; 32],
    /// Each lane's argument.
    pub arguments: [u32; 32],
    /// What each lane gets.
    pub results: [u64; 32],
}

impl Meeting {
    /// The value that `reader` reads from `lane`.
    ///
    /// # Errors
    /// When the lane takes no part, with the reader to blame.
    pub fn read(&self, reader: u32, lane: u32, operation: &'static str) -> Result<u64, (u32, FaultKind)> {
        if self.mask & (1 << lane) == 0 {
            return Err((reader, FaultKind::InactiveLane { operation, lane, mask: self.mask }));
        }
        Ok(self.values[lane as usize])
    }

    /// The lanes that take part.
    pub fn lanes(&self) -> impl Iterator<Item = usize> + use<> {
        lanes(self.mask)
    }
}

/// Fills in what the lanes get.
///
/// # Errors
/// A lane's mistake, such as reading from a lane outside the mask.
pub type Combine = fn(&mut Meeting) -> Result<(), (u32, FaultKind)>;

/// A lane in an operation.
#[derive(Clone, Copy, Default)]
pub(crate) struct WarpWait {
    pub mask: u32,
    pub operation: &'static str,
    pub value: u64,
    pub argument: u32,
    /// `None`: every lane gets what all offered.
    pub combine: Option<Combine>,
}

/// The lanes of a mask, lowest first.
pub(crate) fn lanes(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (lane < WARP).then_some(lane as usize)
    })
}

/// What the lanes of a warp do, a bit for each lane.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lanes {
    pub alive: u32,
    pub ready: u32,
    pub spinning: u32,
    pub meeting: u32,
}

/// The operation that orders the memory accesses of the lanes that meet in it. Others only exchange values.
pub(crate) const SYNC: &str = "sync_warp";

/// The lanes that wait in an operation whose every named lane has arrived go on. Gives those lanes; each operation is
/// given to `met`, with its lanes.
pub(crate) fn release(
    warp: &[Fiber],
    now: &Lanes,
    mut met: impl FnMut(u32, &'static str),
) -> Result<u32, (usize, FaultKind)> {
    let mut released = 0;
    for lane in lanes(now.meeting) {
        if released & (1 << lane) != 0 {
            continue;
        }
        let op = warp[lane].thread().warp.get();
        if op.mask & (1 << lane) == 0 {
            let detail =
                format!("{} names the lanes {:#010x}, not its own lane {lane}", op.operation, op.mask);
            return Err((lane, FaultKind::DivergentWarp { detail }));
        }
        // As on a GPU, lanes that have ended (or that the block does not have) are not waited for.
        let named = op.mask & now.alive;
        let mut all_here = named & !(now.meeting & !released) == 0;
        for other in lanes(named & now.meeting & !released) {
            let o = warp[other].thread().warp.get();
            if o.mask == op.mask && (ptr::eq(o.operation, op.operation) || o.operation == op.operation) {
                continue;
            }
            all_here = false;
            // A lane that meets others first may still come; one that waits for this lane elsewhere never will.
            if o.mask & (1 << lane) != 0 {
                let (at, other_at) = (warp[lane].thread().at.get(), warp[other].thread().at.get());
                let detail = format!(
                    "lane {lane} waits in {} (mask {:#010x}, {at}), lane {other} in {} (mask {:#010x}, {other_at})",
                    op.operation, op.mask, o.operation, o.mask
                );
                return Err((lane, FaultKind::DivergentWarp { detail }));
            }
        }
        if all_here {
            finish(warp, named, op.combine)?;
            met(named, op.operation);
            released |= named;
        }
    }
    Ok(released)
}

fn finish(warp: &[Fiber], mask: u32, combine: Option<Combine>) -> Result<(), (usize, FaultKind)> {
    let thread = |lane: usize| warp[lane].thread();
    match combine {
        Some(combine) => {
            let mut meeting = Meeting { mask, values: [0; 32], arguments: [0; 32], results: [0; 32] };
            for lane in lanes(mask) {
                let WarpWait { value, argument, .. } = thread(lane).warp.get();
                (meeting.values[lane], meeting.arguments[lane]) = (value, argument);
            }
            combine(&mut meeting).map_err(|(lane, kind)| (lane as usize, kind))?;
            for lane in lanes(mask) {
                thread(lane).result.set(meeting.results[lane]);
            }
        }
        None => {
            let mut all = Gathered::default();
            for lane in lanes(mask) {
                all[lane] = thread(lane).offered.get();
            }
            let all = Rc::new(all);
            for lane in lanes(mask) {
                thread(lane).gathered.set(Some(Rc::clone(&all)));
            }
        }
    }
    for lane in lanes(mask) {
        thread(lane).state.set(State::Ready);
    }
    Ok(())
}
