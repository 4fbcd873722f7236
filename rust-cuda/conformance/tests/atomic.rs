//! Atomics of every type, scope and ordering, against `std`'s; and under contention.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use bytemuck::Pod;
use cuda_conformance::{Machine, Random, for_each_machine};
use cuda_conformance_kernels::atomic as kernels;
use cuda_std::launch::LaunchConfig;

const THREADS: usize = 64;

/// Runs a sequence and compares what it noted and left, to the bit.
fn compare<T: Pod + PartialEq + std::fmt::Debug>(
    m: &Machine,
    mut next: impl FnMut() -> T,
    expected: impl Fn(T, T) -> (Vec<T>, T),
    launch: impl Fn(
        &cuda_conformance::Buffer<'_, T>,
        &cuda_conformance::Buffer<'_, T>,
        &cuda_conformance::Buffer<'_, T>,
    ),
) {
    let start: Vec<T> = (0..THREADS).map(|_| next()).collect();
    let operands: Vec<T> = (0..THREADS).map(|_| next()).collect();
    let (cells, given, out) = (m.buffer(&start), m.buffer(&operands), m.zeros::<T>(64 * THREADS));
    launch(&cells, &given, &out);
    let (left, notes) = (cells.read(), out.read());
    for t in 0..THREADS {
        let (noted, end) = expected(start[t], operands[t]);
        let seen = &notes[64 * t..64 * t + noted.len()];
        assert_eq!(
            bytemuck::cast_slice::<T, u8>(seen),
            bytemuck::cast_slice::<T, u8>(&noted),
            "thread {t}: {seen:?}, {noted:?}"
        );
        assert_eq!(left[t], end);
    }
}

macro_rules! integers {
    ($($test:ident, $ty:ty, $atomic:ty, [$($kernel:ident),*];)*) => {$(
        #[test]
        fn $test() {
            let expected = |start: $ty, operand: $ty| {
                let (cell, mut notes) = (<$atomic>::new(start), Vec::new());
                for _ in 0..5 {
                    notes.push(cell.fetch_add(operand, SeqCst));
                    notes.push(cell.fetch_min(operand, SeqCst));
                    notes.push(cell.fetch_max(operand, SeqCst));
                    notes.push(cell.fetch_and(operand, SeqCst));
                    notes.push(cell.fetch_or(operand, SeqCst));
                    notes.push(cell.fetch_xor(operand, SeqCst));
                    notes.push(cell.swap(operand, SeqCst));
                    for _ in 0..2 {
                        let expect = if notes.len() % 9 == 7 { operand } else { *notes.last().unwrap() };
                        let (Ok(seen) | Err(seen)) = cell.compare_exchange(expect, operand, SeqCst, SeqCst);
                        notes.push(seen);
                    }
                }
                for _ in 0..3 {
                    notes.push(cell.load(SeqCst));
                    cell.store(operand, SeqCst);
                    notes.push(cell.load(SeqCst));
                }
                (notes, cell.into_inner())
            };
            for_each_machine(|m| {
                let mut random = Random::new(12);
                $(compare(m, || random.word() as $ty, expected, |cells, operands, out| {
                    m.launch(LaunchConfig::new(2, 32), kernels::$kernel::Args {
                        cells: cells.ptr_mut(), operands: operands.ptr(), out: out.ptr_mut(),
                    });
                });)*
            });
        }
    )*};
}

integers! {
    unsigned_words, u32, AtomicU32, [sequence_u32_block, sequence_u32_device, sequence_u32_system];
    signed_words, i32, AtomicI32, [sequence_i32_block, sequence_i32_device, sequence_i32_system];
    double_words, u64, AtomicU64, [sequence_u64_block, sequence_u64_device, sequence_u64_system];
}

macro_rules! floats {
    ($($test:ident, $ty:ty, [$($kernel:ident),*];)*) => {$(
        #[test]
        fn $test() {
            let expected = |start: $ty, operand: $ty| {
                let (mut cell, mut notes) = (start, Vec::new());
                for _ in 0..5 {
                    notes.push(cell);
                    notes.push(cell + operand);
                    cell = operand;
                }
                notes.extend([operand; 6]);
                (notes, operand)
            };
            for_each_machine(|m| {
                let mut random = Random::new(13);
                $(compare(m, || random.between(-1e3, 1e3) as $ty, expected, |cells, operands, out| {
                    m.launch(LaunchConfig::new(2, 32), kernels::$kernel::Args {
                        cells: cells.ptr_mut(), operands: operands.ptr(), out: out.ptr_mut(),
                    });
                });)*
            });
        }
    )*};
}

floats! {
    floats, f32, [sequence_f32_block, sequence_f32_device, sequence_f32_system];
    doubles, f64, [sequence_f64_block, sequence_f64_device, sequence_f64_system];
}

#[test]
fn no_change_is_lost_when_all_threads_change_the_same_cells() {
    for_each_machine(|m| {
        let mut random = Random::new(14);
        let values = random.many(2048, |r| r.word() as u32 | 1 << 13);
        let v = m.buffer(&values);
        let cells = m.buffer(&[0, u32::MAX, 0, u32::MAX, 0, 0, 0, 0]);
        let tickets = m.zeros::<u32>(2048);
        m.launch(
            LaunchConfig::new(8, 256),
            kernels::contended::Args { values: v.ptr(), cells: cells.ptr_mut(), tickets: tickets.ptr_mut() },
        );
        let sum = values.iter().fold(0u32, |a, b| a.wrapping_add(*b));
        let expected = [
            2048,
            *values.iter().min().unwrap(),
            *values.iter().max().unwrap(),
            values.iter().fold(!0, |a, b| a & b),
            values.iter().fold(0, |a, b| a | b),
            values.iter().fold(0, |a, b| a ^ b),
            sum,
            sum,
        ];
        assert_eq!(cells.read(), expected);
        let mut drawn = tickets.read();
        drawn.sort_unstable();
        assert_eq!(drawn, (0..2048).collect::<Vec<u32>>());
    });
}

#[test]
fn a_lock_guards_plain_memory() {
    for_each_machine(|m| {
        let (lock, counter) = (m.zeros::<u32>(1), m.zeros::<u32>(1));
        m.launch(
            LaunchConfig::new(4, 128).cooperative(),
            kernels::locked::Args { lock: lock.ptr_mut(), counter: counter.ptr_mut() },
        );
        assert_eq!((lock.read(), counter.read()), (vec![0], vec![16]));
    });
}

#[test]
fn atomics_work_in_shared_memory() {
    for_each_machine(|m| {
        let mut random = Random::new(15);
        let values = random.many(1024, |r| (r.word() % 5 * 3) as u32);
        let (v, bins) = (m.buffer(&values), m.zeros::<u32>(16));
        m.launch(
            LaunchConfig::new(4, 256),
            kernels::histogram::Args { values: v.ptr(), bins: bins.ptr_mut() },
        );
        let mut expected = [0; 16];
        values.iter().for_each(|v| expected[*v as usize % 16] += 1);
        assert_eq!(bins.read(), expected);
    });
}

#[test]
fn a_sum_of_floats_depends_on_the_order_and_the_order_on_the_seed() {
    let sum = |seed| {
        let m = Machine::simulator(seed);
        let mut random = Random::new(16);
        let values = random.many(1024, |r| r.between(-1.0, 1.0) as f32 * 10f32.powi(r.word() as i32 % 6));
        let (v, sum) = (m.buffer(&values), m.zeros::<f32>(1));
        m.launch(LaunchConfig::new(4, 256), kernels::float_sum::Args { values: v.ptr(), sum: sum.ptr_mut() });
        sum.read()[0].to_bits()
    };
    let sums: Vec<u32> = (0..12).map(sum).collect();
    assert_eq!(sums, (0..12).map(sum).collect::<Vec<_>>(), "a seed repeats its order");
    let distinct: std::collections::HashSet<_> = sums.iter().collect();
    assert!(distinct.len() > 3, "seeds change the order: {sums:x?}");
}
