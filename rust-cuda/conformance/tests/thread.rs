//! Places, barriers, fences.

use cuda_conformance::for_each_machine;
use cuda_conformance_kernels::thread as kernels;
use cuda_std::launch::LaunchConfig;

#[test]
fn every_thread_knows_its_place() {
    for_each_machine(|m| {
        let (grid, block) = ((3u32, 2, 2), (8u32, 3, 2));
        let threads = (grid.0 * grid.1 * grid.2 * block.0 * block.1 * block.2) as usize;
        let out = m.zeros::<[u32; 16]>(threads);
        m.launch(LaunchConfig::new(grid, block), kernels::places::Args { out: out.ptr_mut() });
        let mut expected = Vec::new();
        for (bz, by, bx) in places(grid) {
            for (tz, ty, tx) in places(block) {
                let in_block = (tz * block.1 + ty) * block.0 + tx;
                expected.push([
                    tx,
                    ty,
                    tz,
                    bx,
                    by,
                    bz,
                    block.0,
                    block.1,
                    block.2,
                    grid.0,
                    grid.1,
                    grid.2,
                    bx * block.0 + tx,
                    in_block,
                    in_block % 32,
                    tx / 32,
                ]);
            }
        }
        assert_eq!(out.read(), expected);
    });
}

fn places((x, y, z): (u32, u32, u32)) -> impl Iterator<Item = (u32, u32, u32)> {
    (0..z).flat_map(move |z| (0..y).flat_map(move |y| (0..x).map(move |x| (z, y, x))))
}

#[test]
fn a_barrier_parts_writes_from_reads() {
    for_each_machine(|m| {
        for threads in [1, 31, 33, 256, 1000] {
            let out = m.zeros::<u32>(2 * threads as usize);
            m.launch(LaunchConfig::new(2, threads), kernels::rotate::Args { rounds: 40, out: out.ptr_mut() });
            let expected: Vec<u32> = (0..2).flat_map(|_| (0..threads).map(|t| (t + 40) % threads)).collect();
            assert_eq!(out.read(), expected);
        }
    });
}

#[test]
fn barriers_count_predicates() {
    for_each_machine(|m| {
        for below in [0, 1, 77, 99, 100] {
            let out = m.zeros::<[u32; 3]>(100);
            m.launch(
                LaunchConfig::new(1, 100),
                kernels::counting_barriers::Args { below, out: out.ptr_mut() },
            );
            let expected = [below, u32::from(below == 100), u32::from(below > 0)];
            assert_eq!(out.read(), [expected; 100]);
        }
    });
}

#[test]
fn named_barriers_hand_over_between_warps() {
    for_each_machine(|m| {
        let rounds = 9;
        let out = m.zeros::<u32>(64);
        m.launch(LaunchConfig::new(1, 64), kernels::producer_consumer::Args { rounds, out: out.ptr_mut() });
        let consumed = |lane: u32| (0..rounds).map(|r| r * 100 + (lane + 1) % 32).sum();
        let expected: Vec<u32> = (0..64).map(|t| if t < 32 { 0 } else { consumed(t - 32) }).collect();
        assert_eq!(out.read(), expected);
    });
}

#[test]
fn named_barriers_are_independent() {
    for_each_machine(|m| {
        let out = m.zeros::<u32>(128);
        m.launch(LaunchConfig::new(1, 128), kernels::halves::Args { out: out.ptr_mut() });
        let expected: Vec<u32> = (0..128)
            .map(|t| {
                let (half, rounds) = (t / 64, 3 + 2 * (t / 64));
                half * 64 + (t % 64 + rounds) % 64 + rounds
            })
            .collect();
        assert_eq!(out.read(), expected);
    });
}

#[test]
fn fences_order_a_message() {
    for_each_machine(|m| {
        for scope in 0..3 {
            let (flag, data, out) = (m.zeros::<u32>(1), m.zeros::<u32>(1), m.zeros::<u32>(1));
            let args = kernels::message::Args {
                scope,
                flag: flag.ptr_mut(),
                data: data.ptr_mut(),
                out: out.ptr_mut(),
            };
            m.launch(LaunchConfig::new(2, 64).cooperative(), args);
            assert_eq!(out.read(), [42]);
        }
    });
}

#[test]
fn the_clock_goes_forward() {
    for_each_machine(|m| {
        let out = m.zeros::<u32>(64);
        m.launch(LaunchConfig::new(1, 64), kernels::clocks::Args { out: out.ptr_mut() });
        assert_eq!(out.read(), [1; 64]);
    });
}

#[test]
fn a_pause_lasts_as_long_as_it_should() {
    for_each_machine(|m| {
        let out = m.zeros::<u32>(64);
        m.launch(LaunchConfig::new(1, 64), kernels::pauses::Args { out: out.ptr_mut() });
        assert_eq!(out.read(), [1; 64]);
    });
}

#[test]
fn places_have_upstreams_names_too() {
    for_each_machine(|m| {
        let (grid, block) = ((2u32, 3, 2), (4u32, 2, 3));
        let threads = (grid.0 * grid.1 * grid.2 * block.0 * block.1 * block.2) as usize;
        let out = m.zeros::<[u32; 20]>(threads);
        let config = LaunchConfig::new(grid, block).shared_bytes(1234);
        m.launch(config, kernels::more_places::Args { out: out.ptr_mut() });
        let mut expected = Vec::new();
        for (bk, bj, bi) in places(grid) {
            for (tk, tj, ti) in places(block) {
                let (x, y, z) = (bi * block.0 + ti, bj * block.1 + tj, bk * block.2 + tk);
                let (first, index) = (u32::from(expected.is_empty()), expected.len() as u32);
                let place = x * 10_000 + y * 100 + z;
                expected.push([
                    ti, tj, tk, bi, bj, bk, block.0, block.1, block.2, grid.0, grid.1, grid.2, x, y, place,
                    first, 32, 1234, 1, index,
                ]);
            }
        }
        assert_eq!(out.read(), expected);
    });
}
