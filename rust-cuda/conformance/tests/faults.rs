//! Every mistake ends with the kernel, the block, the thread and the line of it; and the simulator goes on.

use cuda_conformance::{Machine, for_each_machine};
use cuda_conformance_kernels::faults as kernels;
use cuda_sim::{Access, Fault, FaultKind, SimConfig};
use cuda_std::launch::{KernelArgs, LaunchConfig};

/// The line of the kernels' source that bears a marker.
fn line_of(kernel: &str) -> u32 {
    let marker = format!("// here: {kernel}");
    let mut lines = (1..).zip(kernels::SOURCE.lines()).filter(|(_, line)| line.ends_with(&marker));
    let (line, _) = lines.next().unwrap_or_else(|| panic!("no line ends with {marker}"));
    assert!(lines.next().is_none(), "two lines end with {marker}");
    line
}

/// Launches, and demands a fault at the kernel's marked line in this thread of this block.
#[track_caller]
fn fault<K: KernelArgs + 'static>(
    m: &Machine,
    config: LaunchConfig,
    args: K,
    block: u32,
    thread: u32,
) -> FaultKind {
    let Err(fault) = m.try_launch(config, args) else { panic!("{} has no fault", K::NAME) };
    assert_eq!(fault.kernel, K::NAME);
    assert_eq!((fault.block, fault.thread), ([block, 0, 0], [thread, 0, 0]), "{fault}");
    let (file, line, _) = fault.location.clone().unwrap_or_else(|| panic!("no line: {fault}"));
    assert!(file.ends_with("faults.rs"), "{fault}");
    assert_eq!(line, line_of(K::NAME), "{fault}");
    let text = fault.to_string();
    for part in [K::NAME, &format!("faults.rs:{line}"), &format!("block ({block}, 0, 0)")] {
        assert!(text.contains(part), "{text}");
    }
    // Whatever happened, the simulator is as before.
    m.launch(LaunchConfig::new(2, 64), kernels::nothing::Args {});
    fault.kind
}

fn machine() -> Machine {
    Machine::simulator(0)
}

fn one(threads: u32) -> LaunchConfig {
    LaunchConfig::new(1, threads)
}

#[test]
fn threads_at_different_barriers() {
    let kind = fault(&machine(), one(64), kernels::two_barriers::Args {}, 0, 0);
    let FaultKind::DivergentBarrier { detail } = kind else { panic!("{kind}") };
    assert!(detail.contains("thread 3 at"), "{detail}");
}

#[test]
fn a_thread_that_ends_before_the_barrier() {
    let kind = fault(&machine(), one(64), kernels::deserter::Args {}, 0, 0);
    let FaultKind::DivergentBarrier { detail } = kind else { panic!("{kind}") };
    assert!(detail.contains("63 of 64") && detail.contains("thread 5"), "{detail}");
}

#[test]
fn waiting_for_what_never_comes() {
    let m = machine();
    let word = m.zeros::<u32>(1);
    let deadlocks = [
        fault(&m, one(32), kernels::endless_poll::Args { word: word.ptr_mut() }, 0, 1),
        fault(&m, one(1), kernels::endless_reread::Args { word: word.ptr_mut() }, 0, 0),
        fault(&m, one(2), kernels::livelock::Args { word: word.ptr_mut() }, 0, 0),
        fault(&m, one(64), kernels::lonely_barrier::Args {}, 0, 32),
        fault(&m, LaunchConfig::new(3, 32), kernels::grid_barrier::Args { counter: word.ptr_mut() }, 0, 0),
        fault(&m, one(1).shared_bytes(8), kernels::missing_bytes::Args {}, 0, 0),
    ];
    for kind in deadlocks {
        assert!(matches!(kind, FaultKind::Deadlock { .. }), "{kind}");
    }
}

#[test]
fn a_loop_without_end_whose_loads_a_cache_may_answer() {
    let m = Machine::simulated(SimConfig { accesses: 1 << 10, ..SimConfig::default() });
    let word = m.zeros::<u32>(1);
    let kind = fault(&m, one(1), kernels::endless_cached::Args { word: word.ptr_mut() }, 0, 0);
    let FaultKind::Deadlock { detail } = kind else { panic!("{kind}") };
    assert!(detail.contains("1024 accesses"), "{detail}");
}

#[test]
fn barriers_that_no_gpu_has() {
    let kinds = [
        fault(&machine(), one(32), kernels::barrier_sixteen::Args {}, 0, 0),
        fault(&machine(), one(32), kernels::half_a_warp::Args {}, 0, 0),
    ];
    assert!(kinds.iter().all(|k| matches!(k, FaultKind::BadBarrier(_))), "{kinds:?}");
}

fn outside(kind: FaultKind) -> (Access, usize) {
    let FaultKind::OutOfBounds { access, bytes, .. } = kind else { panic!("{kind}") };
    (access, bytes)
}

#[test]
fn accesses_outside_every_buffer() {
    let m = machine();
    let buffer = m.zeros::<u32>(64);
    let args = kernels::read_beyond::Args { from: buffer.ptr(), count: 64, out: buffer.ptr_mut() };
    assert_eq!(outside(fault(&m, LaunchConfig::new(2, 32), args, 1, 31)), (Access::Read, 4));
    let args = kernels::write_before::Args { out: buffer.ptr_mut() };
    assert_eq!(outside(fault(&m, LaunchConfig::new(2, 32), args, 1, 2)), (Access::Write, 4));
    let null = kernels::null_read::Args { from: cuda_std::launch::DevicePtr::null() };
    assert_eq!(outside(fault(&m, one(1), null, 0, 0)), (Access::Read, 4));
    let word = m.zeros::<u32>(1);
    let args = kernels::atomic_beyond::Args { word: word.ptr_mut() };
    assert_eq!(outside(fault(&m, one(1), args, 0, 0)), (Access::Write, 4));
    let short = kernels::shared_short::Args {};
    assert_eq!(outside(fault(&m, one(32).shared_bytes(4 * 40), short, 0, 8)), (Access::Read, 4));
    // A buffer that is gone is no buffer.
    let gone = m.zeros::<f32>(1).ptr();
    assert_eq!(outside(fault(&m, one(1), kernels::null_read::Args { from: gone }, 0, 0)), (Access::Read, 4));
}

#[test]
fn what_is_outside_is_counted_from_what_was_meant() {
    let m = machine();
    let buffer = m.zeros::<u32>(64);
    let args = kernels::read_beyond::Args { from: buffer.ptr(), count: 64, out: buffer.ptr_mut() };
    let said = fault(&m, LaunchConfig::new(2, 32), args, 1, 31).to_string();
    assert!(said.ends_with("(the nearest: byte 256 of `from`, a buffer of 256)"), "{said}");
    for (config, offset, bytes, thread) in [(one(32).shared_bytes(160), 160, 160, 8), (one(32), 128, 0, 0)] {
        let said = fault(&m, config, kernels::shared_short::Args {}, 0, thread).to_string();
        let nearest = format!(
            "byte {offset} of dynamic shared memory, of which the launch's `shared_bytes` gave {bytes})"
        );
        assert!(said.ends_with(&nearest), "{said}");
    }
}

#[test]
fn stores_through_raw_pointers_behind_a_buffer() {
    let m = machine();
    let buffers = [60, 64].map(|count| m.zeros::<u32>(count));
    let launch = |of: usize| {
        m.try_launch(LaunchConfig::new(2, 32), kernels::raw_beyond::Args { out: buffers[of].ptr_mut() })
    };
    let fault = launch(0).unwrap_err();
    assert!(matches!(fault.kind, FaultKind::Overrun(_)), "{fault}");
    let said = fault.to_string();
    assert!(
        said.starts_with("kernel raw_beyond: byte 240 of `out`, a buffer of 240, was written through"),
        "{said}"
    );
    // The next launch does not answer for it.
    launch(1).unwrap();
    for (grid, bytes, said) in [
        (
            1,
            4 * 40,
            "block (0, 0, 0): byte 160 of dynamic shared memory, of which the launch's `shared_bytes` gave 160, was",
        ),
        (2, 4 * 64, "block (1, 0, 0): byte 128 of a shared array of 128, was"),
    ] {
        let config = LaunchConfig::new(grid, 64).shared_bytes(bytes);
        let fault = m.try_launch(config, kernels::raw_shared_beyond::Args {}).unwrap_err().to_string();
        assert!(fault.contains(said), "{fault}");
    }
}

#[test]
fn indices_beyond_a_slice() {
    let m = machine();
    let values = m.zeros::<f32>(10);
    let out = m.zeros::<f32>(32);
    let source = m.zeros::<u8>(64);
    let from = cuda_std::launch::DevicePtr::from_address(source.ptr().address());
    let panics = [
        fault(&m, one(32).shared_bytes(1024), kernels::shared_beyond::Args {}, 0, 31),
        fault(&m, one(32), kernels::slice_beyond::Args { values: values.slice(), out: out.ptr_mut() }, 0, 10),
        fault(&m, one(1).shared_bytes(1024), kernels::copy_beyond::Args { from }, 0, 0),
        fault(&m, one(1).shared_bytes(1024), kernels::bulk_beyond::Args { from: source.ptr() }, 0, 0),
    ];
    for kind in panics {
        let FaultKind::Panic(text) = kind else { panic!("{kind}") };
        assert!(text.contains("index") || text.contains("bytes"), "{text}");
    }
}

#[test]
fn an_address_that_is_not_aligned() {
    let m = machine();
    let buffer = m.zeros::<u32>(64);
    let kind = fault(&m, one(1), kernels::misaligned::Args { from: buffer.ptr() }, 0, 0);
    assert!(matches!(kind, FaultKind::Misaligned { access: Access::Read, align: 16, .. }), "{kind}");
}

#[test]
fn lanes_that_do_not_meet() {
    let m = machine();
    let kind = fault(&m, one(32), kernels::inactive_lane::Args {}, 0, 3);
    assert_eq!(kind, FaultKind::InactiveLane { operation: "shuffle_idx", lane: 7, mask: 0xf });
    let kind = fault(&m, one(32), kernels::divergent_warp::Args {}, 0, 0);
    assert!(matches!(kind, FaultKind::DivergentWarp { .. }), "{kind}");
    let kind = fault(&m, one(32), kernels::not_in_mask::Args {}, 0, 0);
    assert!(matches!(kind, FaultKind::DivergentWarp { .. }), "{kind}");
    let kind = fault(&m, one(40), kernels::short_warp::Args {}, 0, 32);
    assert!(matches!(kind, FaultKind::InactiveLane { lane: 8, .. }), "{kind}");
}

#[test]
fn an_mbarrier_that_nobody_initialised() {
    let kind = fault(&machine(), one(1).shared_bytes(8), kernels::fresh_mbarrier::Args {}, 0, 0);
    assert!(matches!(kind, FaultKind::AsyncCopy(_)), "{kind}");
}

#[test]
fn a_copy_that_nobody_waits_for_has_not_happened() {
    for_each_machine(|m| {
        if !m.is_simulator() {
            return;
        }
        let from = m.buffer(&(0..32).collect::<Vec<u32>>());
        let out = m.zeros::<u32>(32);
        for (wait, happened) in [(false, false), (true, true)] {
            let args = kernels::unawaited_copy::Args { from: from.ptr(), wait, out: out.ptr_mut() };
            m.launch(one(32).shared_bytes(128), args);
            assert_eq!(out.read() == from.read(), happened);
        }
    });
}

#[test]
fn panics_of_a_kernel() {
    let m = machine();
    let word = m.zeros::<u32>(1);
    let args = kernels::wrong_ordering::Args { word: word.ptr_mut() };
    let kinds = [fault(&m, one(1), args, 0, 0), fault(&m, one(1), kernels::trapped::Args {}, 0, 0)];
    assert!(kinds.iter().all(|k| matches!(k, FaultKind::Panic(_))), "{kinds:?}");
}

#[test]
fn launches_that_no_gpu_can_do() {
    let m = machine();
    let refused = |config: LaunchConfig| -> Fault {
        let Err(fault) = m.try_launch(config, kernels::nothing::Args {}) else { panic!("{config:?} ran") };
        assert!(fault.to_string().contains("nothing"), "{fault}");
        fault
    };
    let too_large = [
        LaunchConfig::new(1, 1025),
        LaunchConfig::new(1, (1, 1, 65)),
        LaunchConfig::new((1, 65_536), 1),
        LaunchConfig::new((u32::MAX, u32::MAX, u32::MAX), (u32::MAX, u32::MAX, u32::MAX)),
        LaunchConfig::new(1, 1).shared_bytes(300 << 10),
        LaunchConfig::new(9, 1).cooperative(),
    ];
    for config in too_large {
        let kind = refused(config).kind;
        assert!(matches!(kind, FaultKind::LaunchTooLarge { .. }), "{kind}");
    }
    assert!(refused(one(1025)).to_string().starts_with("kernel nothing: the launch asks for"));
    for config in [LaunchConfig::new(0, 1), LaunchConfig::new((1, 1, 0), 1), LaunchConfig::new(1, 0)] {
        assert!(matches!(refused(config).kind, FaultKind::EmptyLaunch { .. }));
    }
}

#[test]
fn faults_leak_no_memory() {
    // Kernels that fail in the middle of a full block, many times: stacks and maps would show.
    let m = machine();
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
        pages.split(' ').nth(1)?.parse::<usize>().ok()
    };
    let fail = || {
        for _ in 0..100 {
            assert!(m.try_launch(one(1024), kernels::deserter::Args {}).is_err());
        }
    };
    fail();
    let before = resident();
    fail();
    fail();
    if let (Some(before), Some(after)) = (before, resident()) {
        // Two hundred leaks of a thousand touched stacks would be gigabytes; other tests run meanwhile.
        assert!(after < before + (64 << 20 >> 12) * 4, "{before} pages, then {after}");
    }
}

#[test]
fn a_panic_outside_kernels_is_an_ordinary_one() {
    let m = machine();
    let _ = m.try_launch(one(1), kernels::trapped::Args {});
    let caught = std::panic::catch_unwind(|| panic!("an ordinary panic, printed by the usual hook"));
    let text = *caught.unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("ordinary"));
    // An intrinsic outside a kernel is one too.
    let caught = std::panic::catch_unwind(cuda_std::thread::thread_idx_x).unwrap_err();
    assert!(caught.downcast::<&str>().unwrap().contains("outside a kernel"));
}
