//! Each check finds the mistake that is planted in a kernel, at its line, and nothing in the twin without it.

use cuda_conformance::{Buffer, Machine};
use cuda_conformance_kernels::checks as kernels;
use cuda_sim::{Finding, FindingKind, Place, Report};
use cuda_std::launch::{DevicePtr, LaunchConfig, ParamBuffer};

/// The line of the kernels' source that bears a marker.
fn line_of(marker: &str) -> u32 {
    let marker = format!("// {marker}");
    let mut lines = (1..).zip(kernels::SOURCE.lines()).filter(|(_, line)| line.ends_with(&marker));
    let (line, _) = lines.next().unwrap_or_else(|| panic!("no line ends with {marker}"));
    assert!(lines.next().is_none(), "two lines end with {marker}");
    line
}

/// The lines that a finding names, in the order of the source.
fn lines(finding: &Finding) -> Vec<u32> {
    let acts = [Some(finding.act), finding.before];
    let mut lines: Vec<u32> = acts.iter().flatten().map(|act| act.line.line()).collect();
    assert!(acts.iter().flatten().all(|act| act.line.file().ends_with("checks.rs")), "{finding}");
    lines.sort_unstable();
    lines
}

/// Runs both twins in three orders of threads. The planted mistake must be found at its lines, `first` and `second`
/// where there are two; its twin must be silent.
fn twins(
    kernel: &str,
    kind: FindingKind,
    run: impl for<'m> Fn(&'m Machine, bool) -> Vec<Buffer<'m, u32>>,
) -> Finding {
    let mut example = None;
    for seed in [0, 1, 0x5eed] {
        let m = Machine::checking(seed);
        drop(run(&m, false));
        let silent = m.take_report().findings;
        assert!(silent.is_empty(), "{}", silent[0]);
        drop(run(&m, true));
        let [finding] = m.take_report().findings.try_into().unwrap_or_else(|all: Vec<Finding>| {
            panic!("{kernel}, seed {seed}: {}", all.iter().map(|f| format!("\n{f}")).collect::<String>())
        });
        assert_eq!((finding.kind, finding.kernel.as_str()), (kind, kernel), "{finding}");
        let first = line_of(&format!("first: {kernel}"));
        let expected = match finding.before {
            Some(_) if kernels::SOURCE.contains(&format!("// second: {kernel}")) => {
                vec![first, line_of(&format!("second: {kernel}"))]
            }
            Some(_) => vec![first, first],
            None => vec![first],
        };
        assert_eq!(lines(&finding), expected, "{finding}");
        let text = finding.to_string();
        assert!(text.contains(&format!("checks.rs:{first}:")) && text.contains("block ("), "{text}");
        example = Some(finding);
    }
    let finding = example.expect("there are seeds");
    println!("{finding}");
    finding
}

/// One block of 64 threads with a word of shared memory for each.
fn one() -> LaunchConfig {
    LaunchConfig::new(1, 64).shared_bytes(256)
}

use FindingKind::{CopyRace, Race, StaleRead, UnawaitedCopy, UninitialisedShared, UnwrittenGlobal};

#[test]
fn a_missing_barrier() {
    let finding = twins("missing_barrier", Race, |m, planted| {
        let out = m.zeros(64);
        m.launch(one(), kernels::missing_barrier::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
    assert!(matches!(finding.place, Place::Dynamic(_)), "{finding}");
    assert!(finding.count >= 32, "{finding}");
}

#[test]
fn two_writers_of_a_word() {
    let finding = twins("shared_word", Race, |m, planted| {
        m.launch(one(), kernels::shared_word::Args { planted });
        vec![]
    });
    assert_eq!(finding.count, 32, "{finding}");
}

#[test]
fn two_writers_of_a_byte() {
    let finding = twins("shared_byte", Race, |m, planted| {
        m.launch(one(), kernels::shared_byte::Args { planted });
        vec![]
    });
    assert_eq!(finding.place, Place::Dynamic(6), "{finding}");
}

#[test]
fn a_vote_in_place_of_a_warp_barrier() {
    twins("vote_for_a_sync", Race, |m, planted| {
        let out = m.zeros(64);
        m.launch(one(), kernels::vote_for_a_sync::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
}

#[test]
fn a_warp_barrier_of_too_few_lanes() {
    twins("half_a_sync", Race, |m, planted| {
        let out = m.zeros(64);
        m.launch(one(), kernels::half_a_sync::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
}

#[test]
fn an_arrival_before_the_write() {
    twins("early_arrival", Race, |m, planted| {
        let out = m.zeros(64);
        m.launch(one(), kernels::early_arrival::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
}

#[test]
fn blocks_that_write_one_word() {
    let finding = twins("blocks_word", Race, |m, planted| {
        let out = m.zeros(8);
        m.launch(LaunchConfig::new(8, 32), kernels::blocks_word::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
    assert_eq!(finding.place, Place::Global { parameter: "out".into(), size: 32, offset: 0 });
    assert_eq!(finding.count, 7);
    assert_ne!(finding.act.block, finding.before.unwrap().block);
}

#[test]
fn a_missing_barrier_of_the_grid() {
    twins("missing_grid_barrier", Race, |m, planted| {
        let (counter, words, out) = (m.zeros(1), m.zeros(4), m.zeros(4));
        let args = kernels::missing_grid_barrier::Args {
            planted,
            counter: counter.ptr_mut(),
            words: words.ptr_mut(),
            out: out.ptr_mut(),
        };
        m.launch(LaunchConfig::new(4, 64).cooperative(), args);
        vec![counter, words, out]
    });
}

#[test]
fn a_flag_that_orders_nothing() {
    let config = LaunchConfig::new(2, 32).cooperative();
    twins("relaxed_flag", Race, |m, planted| {
        let (flag, word, out) = (m.zeros(1), m.zeros(1), m.zeros(1));
        let (flag_ptr, word_ptr) = (flag.ptr_mut(), word.ptr_mut());
        let out_ptr = out.ptr_mut();
        let args = kernels::relaxed_flag::Args { planted, flag: flag_ptr, word: word_ptr, out: out_ptr };
        m.launch(config, args);
        vec![flag, word, out]
    });
    twins("small_fence", Race, |m, planted| {
        let (flag, word, out) = (m.zeros(1), m.zeros(1), m.zeros(1));
        let (flag_ptr, word_ptr) = (flag.ptr_mut(), word.ptr_mut());
        let out_ptr = out.ptr_mut();
        let args = kernels::small_fence::Args { planted, flag: flag_ptr, word: word_ptr, out: out_ptr };
        m.launch(config, args);
        vec![flag, word, out]
    });
}

#[test]
fn an_atomic_whose_scope_is_too_small() {
    twins("small_scope", Race, |m, planted| {
        let counter = m.zeros(1);
        let args = kernels::small_scope::Args { planted, counter: counter.ptr_mut() };
        m.launch(LaunchConfig::new(4, 32), args);
        vec![counter]
    });
}

#[test]
fn a_plain_read_beside_atomics() {
    twins("plain_read_of_a_count", Race, |m, planted| {
        let out = m.zeros(1);
        m.launch(one(), kernels::plain_read_of_a_count::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
}

#[test]
fn shared_memory_that_nobody_wrote() {
    let finding = twins("unwritten_shared", UninitialisedShared, |m, planted| {
        let out = m.zeros(64);
        m.launch(one(), kernels::unwritten_shared::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
    assert_eq!((finding.place, finding.act.thread), (Place::Dynamic(12), [60, 0, 0]));
}

#[test]
fn an_output_that_nobody_wrote() {
    let finding = twins("unwritten_output", UnwrittenGlobal, |m, planted| {
        let out = m.unwritten(64);
        m.launch(one(), kernels::unwritten_output::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
    assert_eq!(finding.count, 64);
}

#[test]
fn what_a_launch_before_wrote_is_written() {
    let m = Machine::checking(0);
    let out = m.unwritten::<u32>(64);
    for planted in [false, true] {
        m.launch(one(), kernels::unwritten_output::Args { planted, out: out.ptr_mut() });
    }
    assert!(m.take_report().findings.is_empty());
    assert_eq!(out.read(), [2; 64]);
}

#[test]
fn a_read_only_load_of_what_was_written() {
    twins("stale_read", StaleRead, |m, planted| {
        let (words, out) = (m.zeros(64), m.zeros(64));
        let args = kernels::stale_read::Args { planted, words: words.ptr_mut(), out: out.ptr_mut() };
        m.launch(one(), args);
        vec![words, out]
    });
}

#[test]
fn copies_that_are_not_waited_for() {
    twins("unawaited_copy", UnawaitedCopy, |m, planted| {
        let (from, out) = (m.zeros(64), m.zeros(64));
        m.launch(one(), kernels::unawaited_copy::Args { planted, from: from.ptr(), out: out.ptr_mut() });
        vec![from, out]
    });
    twins("others_copy", CopyRace, |m, planted| {
        let (from, out) = (m.zeros(64), m.zeros(64));
        m.launch(one(), kernels::others_copy::Args { planted, from: from.ptr(), out: out.ptr_mut() });
        vec![from, out]
    });
    twins("unawaited_bulk", UnawaitedCopy, |m, planted| {
        let (from, out) = (m.zeros(32), m.zeros(32));
        let bytes = DevicePtr::from_address(from.ptr().address());
        let args = kernels::unawaited_bulk::Args { planted, from: bytes, out: out.ptr_mut() };
        m.launch(LaunchConfig::new(1, 32).shared_bytes(144), args);
        vec![from, out]
    });
}

#[test]
fn a_copy_over_what_is_still_read() {
    twins("early_refill", CopyRace, |m, planted| {
        let (from, out) = (m.zeros(32), m.zeros(32));
        let bytes = DevicePtr::from_address(from.ptr().address());
        let args = kernels::early_refill::Args { planted, from: bytes, out: out.ptr_mut() };
        m.launch(LaunchConfig::new(1, 32).shared_bytes(144), args);
        vec![from, out]
    });
}

#[test]
fn an_arrival_at_an_mbarrier_before_the_write() {
    twins("early_mbarrier_arrival", Race, |m, planted| {
        let out = m.zeros(64);
        m.launch(one(), kernels::early_mbarrier_arrival::Args { planted, out: out.ptr_mut() });
        vec![out]
    });
}

/// The report of one of a kernel's twins.
fn report(run: impl Fn(&Machine)) -> Report {
    let m = Machine::checking(0);
    run(&m);
    m.take_report()
}

#[test]
fn bank_conflicts_of_each_line() {
    for (planted, ways) in [(true, 32.0), (false, 1.0)] {
        let report = report(|m| {
            let out = m.zeros::<u32>(32);
            let args = kernels::transpose::Args { planted, out: out.ptr_mut() };
            m.launch(LaunchConfig::new(1, 32).shared_bytes(32 * 33 * 4), args);
        });
        assert!(report.findings.is_empty());
        let [store, load] = report.shared.try_into().unwrap();
        assert_eq!((store.line.line(), store.stores), (line_of("first: transpose"), true));
        assert_eq!((load.line.line(), load.stores), (line_of("second: transpose"), false));
        assert_eq!((store.instructions, store.ways()), (32, 1.0));
        assert_eq!((load.instructions, load.ways(), load.worst), (32, ways, ways));
    }
}

#[test]
fn sectors_of_each_line() {
    for (planted, efficiency) in [(true, 12.5), (false, 100.0)] {
        let report = report(|m| {
            let (from, out) = (m.zeros::<u32>(8 * 256), m.zeros::<u32>(256));
            let args = kernels::scattered::Args { planted, from: from.ptr(), out: out.ptr_mut() };
            m.launch(LaunchConfig::new(4, 64), args);
        });
        assert!(report.findings.is_empty());
        let [load, store] = report.global.try_into().unwrap();
        assert_eq!((load.line.line(), load.instructions), (line_of("first: scattered"), 8));
        assert_eq!((load.efficiency(), store.efficiency()), (efficiency, 100.0));
    }
}

/// What ends a launch is found as without checks: the planted one has the fault at its line, its twin has none.
#[test]
fn faults_have_twins_too() {
    let m = Machine::checking(0);
    for planted in [false, true] {
        let (from, out) = (m.zeros::<u32>(64), m.zeros::<u32>(64));
        let wide = cuda_std::launch::DevicePtrMut::from_address(out.ptr().address());
        let (from, out) = (from.ptr(), out.ptr_mut());
        let results = [
            ("beyond", m.try_launch(one(), kernels::beyond::Args { planted, from, out })),
            (
                "crooked",
                m.try_launch(LaunchConfig::new(1, 1), kernels::crooked::Args { planted, from, out: wide }),
            ),
            ("divergent_barrier", m.try_launch(one(), kernels::divergent_barrier::Args { planted })),
        ];
        for (kernel, result) in results {
            assert_eq!(result.is_err(), planted, "{kernel}");
            if let Err(fault) = result {
                let line = line_of(&format!("first: {kernel}"));
                assert!(fault.to_string().contains(&format!("checks.rs:{line}:")), "{fault}");
            }
        }
        assert!(m.take_report().findings.is_empty());
    }
}

#[test]
fn without_checks_there_is_no_report() {
    let m = Machine::simulator(0);
    m.launch(one(), kernels::shared_word::Args { planted: true });
    let report = m.take_report();
    assert!(report.findings.is_empty() && report.shared.is_empty() && report.global.is_empty());
}

/// Writes through raw pointers are not told of. What they leave is no fresh memory.
#[test]
fn raw_writes_to_shared_memory_are_writes() {
    let m = Machine::checking(0);
    let out = m.zeros::<[u32; 4]>(128);
    let args = cuda_conformance_kernels::shared::arrays::Args { out: out.ptr_mut() };
    m.launch(LaunchConfig::new(2, 64).shared_bytes(256), args);
    assert!(m.take_report().findings.is_empty());
}

/// A finding names buffers after these.
#[test]
fn a_kernels_addresses_are_those_of_its_pointers_and_slices() {
    let m = Machine::checking(0);
    let (read, write, pointer) = (m.zeros::<u16>(4), m.zeros::<f64>(4), m.zeros::<u32>(1));
    let args = cuda_conformance_kernels::shared::parameters::Args {
        flag: true,
        small: 1,
        short: 2,
        word: 3,
        long: 4,
        float: 5.0,
        double: 6.0,
        half: cuda_std::f16::from_bits(7),
        vector: cuda_std::U32x4([8; 4]),
        record: cuda_conformance_kernels::shared::Record { a: 9, b: 10.0, c: [11; 3] },
        read: read.slice(),
        write: write.slice_mut(),
        pointer: pointer.ptr(),
        absent: DevicePtr::null(),
    };
    let expected = [
        ("read", read.ptr().address() as usize),
        ("write", write.ptr().address() as usize),
        ("pointer", pointer.ptr().address() as usize),
        ("absent", 0),
    ];
    assert_eq!(ParamBuffer::addresses(&args), expected);
}
