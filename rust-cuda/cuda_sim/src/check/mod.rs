//! Checks that are off unless [`SimConfig::checks`](crate::SimConfig::checks) enables them: data races, reads of memory
//! that was never written, copies that were not waited for; and how each source line uses banks and sectors.
//!
//! `docs/simulator.md` describes the model. A [`Checker`] belongs to a simulator and holds what outlives a block: the
//! history of global memory, and the findings. A [`BlockCheck`] holds the rest. `device` reports every access to them,
//! `block` every synchronisation of threads.

mod atomics;
mod banks;
mod block;
mod clocks;
mod coalescing;
mod lanes;
mod races;
mod report;
mod shadow;
mod sites;
mod traffic;

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::rc::Rc;

pub use atomics::{AtomicAccess, AtomicKind};
pub(crate) use block::BlockCheck;
pub use report::{Act, Deed, Finding, FindingKind, GlobalLine, Line, Place, Report, SharedLine};

use crate::block::View;
use crate::grid::Launch;
use crate::memory::POISON;
use crate::warp::WARP;
use atomics::Atomics;
use clocks::{Epoch, Scope};
use lanes::LineKey;
use races::{Act as Access, Stamp};
use shadow::{Bytes, Shadow};
use sites::Sites;
use traffic::Traffic;

/// How a load or store is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// A load.
    Read,
    /// A load through the cache for what does not change during the launch.
    ReadConstant,
    /// A store.
    Write,
}

/// An access about to be checked.
struct Step {
    address: usize,
    bytes: usize,
    stamp: Stamp,
    /// Whether the old value is used.
    reads: bool,
    constant: bool,
}

/// Whether the bytes that no write is known of still hold the pattern of fresh memory: writes through raw pointers are
/// not told of, but leave something else.
fn is_untouched(view: &View, written: &Bytes, address: usize, bytes: usize) -> bool {
    let mut unknown = (address..address + bytes).filter(|at| !written.has_all(*at, 1));
    unknown.all(|at| view.byte(at) == Some(POISON))
}

/// The launch that runs.
#[derive(Default)]
struct Running {
    kernel: String,
    grid: [u32; 3],
    block: [u32; 3],
    parameters: Vec<(String, usize)>,
}

#[derive(Default)]
struct State {
    running: Running,
    shadow: Shadow,
    atomics: Atomics,
    /// What nothing was written to of global memory.
    unwritten: Bytes,
    sites: Sites,
    findings: Vec<Finding>,
    /// The place in `findings` of a kind at one or two lines.
    known: HashMap<(FindingKind, u32, Option<u32>), usize>,
    traffic: Traffic,
}

/// A simulator's checks, to be asked from anywhere.
#[derive(Clone)]
pub struct Checks(pub(crate) Rc<Checker>);

impl Checks {
    /// What was found since this was called last.
    pub fn take_report(&self) -> Report {
        self.0.take_report()
    }
}

/// The checks of a simulator.
#[derive(Default)]
pub(crate) struct Checker(RefCell<State>);

impl Checker {
    /// A launch begins: everything before it is past.
    pub fn begin(&self, launch: &Launch<'_>) {
        let mut state = self.0.borrow_mut();
        state.shadow.clear();
        state.atomics.clear();
        state.running = Running {
            kernel: launch.kernel.to_owned(),
            grid: launch.grid,
            block: launch.block,
            parameters: launch.parameters.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect(),
        };
    }

    /// Global memory is what nothing was written to.
    pub fn forget(&self, address: usize, bytes: usize) {
        self.0.borrow_mut().unwritten.insert(address, bytes);
    }

    /// Global memory was written by the host, or is gone.
    pub fn written(&self, address: usize, bytes: usize) {
        self.0.borrow_mut().unwritten.remove(address, bytes);
    }

    /// What was found since this was called last.
    pub fn take_report(&self) -> Report {
        let state = &mut *self.0.borrow_mut();
        state.known.clear();
        let mut report = Report { findings: std::mem::take(&mut state.findings), ..Report::default() };
        state.traffic.take(&state.sites, &mut report);
        report
    }

    /// A load or store.
    pub fn plain(&self, at: &Spot<'_>, address: usize, bytes: usize, how: Plain) {
        let (state, block) = (&mut *self.0.borrow_mut(), &mut *at.block.borrow_mut());
        let (site, stores) = (state.sites.number(at.location), how == Plain::Write);
        let act = if stores { Access::Write } else { Access::Read };
        let stamp = Stamp { epoch: block.threads[at.thread].now(), thread: at.thread as u32, site, act };
        let constant = how == Plain::ReadConstant;
        let shared = state.check(at, block, &Step { address, bytes, stamp, reads: !stores, constant });
        at.lines(block, LineKey { site, shared, stores, bytes: bytes as u8 }, address);
    }

    /// An atomic access.
    pub fn atomic(&self, at: &Spot<'_>, address: usize, bytes: usize, access: AtomicAccess) {
        let (state, block) = (&mut *self.0.borrow_mut(), &mut *at.block.borrow_mut());
        let shared = state.atomic(at, block, (address, bytes), access.scope(), access.kind);
        if shared {
            block.atomics.access(&mut block.threads[at.thread], address, access);
        } else {
            state.atomics.access(&mut block.threads[at.thread], address, access);
        }
    }

    /// A fence.
    pub fn fence(&self, at: &Spot<'_>, device: bool) {
        let scope = if device { Scope::Device } else { Scope::Block };
        at.block.borrow_mut().threads[at.thread].fence(scope);
    }

    /// A thread comes to a barrier without waiting.
    pub fn arrive(&self, at: &Spot<'_>, barrier: u32) {
        at.block.borrow_mut().arrive(at.thread, barrier);
    }

    /// Lanes of a warp have met; if `all`, none is elsewhere.
    pub fn met(&self, block: &mut BlockCheck, warp: usize, mask: u32, all: bool) {
        let lines = &mut block.warps[warp];
        if all {
            let traffic = &mut self.0.borrow_mut().traffic;
            lines.drain().for_each(|(key, instruction)| traffic.add(key, &instruction));
        } else {
            lines.met(mask);
        }
    }

    /// The block's threads have ended.
    pub fn ended(&self, block: &mut BlockCheck) {
        (0..block.warps.len()).for_each(|warp| self.met(block, warp, !0, true));
    }

    /// A `cp.async` copy is asked for.
    pub fn copy(&self, at: &Spot<'_>, to: usize, from: usize, bytes: usize, zeros: usize) {
        let (state, block) = (&mut *self.0.borrow_mut(), &mut *at.block.borrow_mut());
        let epoch = block.copy_epoch(at.thread);
        let site = state.copy(at, block, epoch, (to, bytes + zeros), (from, bytes));
        let key = LineKey { site, shared: false, stores: false, bytes: bytes as u8 };
        if bytes > 0 {
            at.lines(block, key, from);
        }
        let bytes = (bytes + zeros) as u8;
        at.lines(block, LineKey { shared: true, stores: true, bytes, ..key }, to);
    }

    /// A thread ends its open group of copies.
    pub fn copy_commit(&self, at: &Spot<'_>) {
        at.block.borrow_mut().commit(at.thread);
    }

    /// A thread has waited for all but its newest groups.
    pub fn copy_wait(&self, at: &Spot<'_>, left: usize) {
        at.block.borrow_mut().wait(at.thread, left);
    }

    /// A bulk copy is asked for.
    pub fn bulk(&self, at: &Spot<'_>, to: usize, from: usize, bytes: usize, mbarrier: usize) {
        let (state, block) = (&mut *self.0.borrow_mut(), &mut *at.block.borrow_mut());
        if let Some(epoch) = block.bulk_epoch(mbarrier) {
            state.copy(at, block, epoch, (to, bytes), (from, bytes));
        }
    }

    /// An `mbarrier` is initialised.
    pub fn mbarrier_init(&self, at: &Spot<'_>, address: usize) {
        let (state, block) = (&mut *self.0.borrow_mut(), &mut *at.block.borrow_mut());
        let epoch = block.threads[at.thread].now();
        let site = state.sites.number(at.location);
        let stamp = Stamp { epoch, thread: at.thread as u32, site, act: Access::Write };
        state.check(at, block, &Step { address, bytes: MBARRIER, stamp, reads: false, constant: false });
        block.mbarrier(address);
    }

    /// A thread arrives at an `mbarrier`, which may complete its phase.
    pub fn mbarrier_arrive(&self, at: &Spot<'_>, address: usize, completes: bool) {
        let (state, block) = (&mut *self.0.borrow_mut(), &mut *at.block.borrow_mut());
        state.atomic(at, block, (address, MBARRIER), Scope::Block, AtomicKind::Change);
        block.mbarrier_arrive(at.thread, address);
        if completes {
            block.mbarrier_complete(address);
        }
    }

    /// A thread asks an `mbarrier`, which finds its phase complete; `passes` if that is what the thread waits for.
    pub fn mbarrier_test(&self, at: &Spot<'_>, address: usize, completes: bool, passes: bool) {
        let (state, block) = (&mut *self.0.borrow_mut(), &mut *at.block.borrow_mut());
        state.atomic(at, block, (address, MBARRIER), Scope::Block, AtomicKind::Load);
        if completes {
            block.mbarrier_complete(address);
        }
        if passes {
            block.mbarrier_pass(at.thread, address);
        }
    }
}

/// Bytes of an `mbarrier`.
const MBARRIER: usize = 8;

/// Who makes an access, and where in the source.
pub(crate) struct Spot<'a> {
    pub view: &'a View,
    pub block: &'a RefCell<BlockCheck>,
    pub thread: usize,
    pub location: &'static Location<'static>,
}

impl Spot<'_> {
    fn lines(&self, block: &mut BlockCheck, key: LineKey, address: usize) {
        let warp = WARP as usize;
        block.warps[self.thread / warp].add(key, self.thread % warp, address);
    }
}

impl State {
    /// Checks an access, and makes it a part of the history. Whether it is one of shared memory.
    fn check(&mut self, at: &Spot<'_>, block: &mut BlockCheck, step: &Step) -> bool {
        let &Step { address, bytes, stamp, reads, constant } = step;
        let shared = at.view.covers(address, bytes);
        let BlockCheck { shadow, written, threads, .. } = block;
        let shadow = if shared { shadow } else { &mut self.shadow };
        let clock = &threads[at.thread];
        let (mut race, mut stale) = (None, false);
        shadow.visit(address, bytes, |address, cell| {
            stale |= constant && cell.is_written();
            let before = cell.access(stamp, |epoch| clock.covers(epoch));
            race = race.or(before.map(|before| (address, before)));
        });
        if let Some((address, before)) = race {
            let copies = before.is_copy() || stamp.is_copy();
            let kind = if !copies || before.epoch.block != stamp.epoch.block {
                FindingKind::Race
            } else if before.is_copy() && !threads[before.thread as usize].covers(before.epoch) {
                FindingKind::UnawaitedCopy
            } else {
                FindingKind::CopyRace
            };
            self.found(at, kind, address, stamp, Some(before));
        } else if stale {
            self.found(at, FindingKind::StaleRead, address, stamp, None);
        }
        if reads
            && shared
            && !written.has_all(address, bytes)
            && is_untouched(at.view, written, address, bytes)
        {
            self.found(at, FindingKind::UninitialisedShared, address, stamp, None);
        }
        if reads && !shared && !self.unwritten.is_empty() && self.unwritten.has_any(address, bytes) {
            self.found(at, FindingKind::UnwrittenGlobal, address, stamp, None);
        }
        if stamp.act.writes() && shared {
            written.insert(address, bytes);
        } else if stamp.act.writes() && !self.unwritten.is_empty() {
            self.unwritten.remove(address, bytes);
        }
        shared
    }

    /// Checks an atomic access, without what it orders.
    fn atomic(
        &mut self,
        at: &Spot<'_>,
        block: &mut BlockCheck,
        (address, bytes): (usize, usize),
        scope: Scope,
        kind: AtomicKind,
    ) -> bool {
        let loads = kind == AtomicKind::Load;
        let act = if loads { Access::AtomicRead(scope) } else { Access::AtomicWrite(scope) };
        let (epoch, site) = (block.threads[at.thread].now(), self.sites.number(at.location));
        let stamp = Stamp { epoch, thread: at.thread as u32, site, act };
        let reads = kind != AtomicKind::Store;
        self.check(at, block, &Step { address, bytes, stamp, reads, constant: false })
    }

    /// Checks both sides of an asynchronous copy, which happens at a moment of its own from now on.
    fn copy(
        &mut self,
        at: &Spot<'_>,
        block: &mut BlockCheck,
        epoch: Epoch,
        to: (usize, usize),
        from: (usize, usize),
    ) -> u32 {
        let site = self.sites.number(at.location);
        for ((address, bytes), act) in [(from, Access::Read), (to, Access::Write)] {
            let stamp = Stamp { epoch, thread: at.thread as u32, site, act };
            let reads = act == Access::Read;
            self.check(at, block, &Step { address, bytes, stamp, reads, constant: false });
        }
        site
    }

    fn found(
        &mut self,
        at: &Spot<'_>,
        kind: FindingKind,
        address: usize,
        stamp: Stamp,
        before: Option<Stamp>,
    ) {
        // Which of two came first is chance.
        let (mut site, mut other) = (stamp.site, before.map(|before| before.site));
        if matches!(kind, FindingKind::Race | FindingKind::CopyRace)
            && let Some(first) = &mut other
            && *first < site
        {
            std::mem::swap(first, &mut site);
        }
        if let Some(index) = self.known.get(&(kind, site, other)) {
            let finding = &mut self.findings[*index];
            finding.count += 1;
            finding.reversed += u64::from(finding.act.line != self.sites.line(stamp.site));
            return;
        }
        self.known.insert((kind, site, other), self.findings.len());
        self.findings.push(Finding {
            kind,
            kernel: self.running.kernel.clone(),
            act: self.act(&stamp),
            before: before.map(|before| self.act(&before)),
            place: at.view.place(address).unwrap_or_else(|| self.running.place(at.view, address)),
            count: 1,
            reversed: 0,
        });
    }

    fn act(&self, stamp: &Stamp) -> Act {
        let index = |i: u32, [x, y, _]: [u32; 3]| [i % x, i / x % y, i / (x * y)];
        let copies = stamp.is_copy();
        let deed = match stamp.act {
            Access::Read if copies => Deed::CopyFrom,
            Access::Write if copies => Deed::CopyTo,
            Access::Read => Deed::Read,
            Access::Write => Deed::Write,
            Access::AtomicRead(_) => Deed::AtomicRead,
            Access::AtomicWrite(_) => Deed::AtomicWrite,
        };
        Act {
            deed,
            block: index(stamp.epoch.block, self.running.grid),
            thread: index(stamp.thread, self.running.block),
            line: self.sites.line(stamp.site),
        }
    }
}

impl Running {
    /// The place of an address in global memory.
    fn place(&self, view: &View, address: usize) -> Place {
        let (start, size) = view.allocation(address).unwrap_or((address, 0));
        let of_buffer = self.parameters.iter().filter(|(_, at)| (start..start + size).contains(at));
        // The last one that points before the place, otherwise any.
        let nearest = of_buffer.max_by_key(|(_, at)| (*at <= address, *at));
        let parameter = nearest.map(|(name, _)| name.clone()).unwrap_or_default();
        Place::Global { parameter, size, offset: address - start }
    }
}
