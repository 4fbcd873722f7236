//! Barriers of the grid, and launches that overlap.

use cuda_conformance::for_each_machine;
use cuda_conformance_kernels::grid as kernels;
use cuda_std::launch::LaunchConfig;

#[test]
fn the_blocks_of_a_grid_wait_for_each_other() {
    for_each_machine(|m| {
        let (blocks, threads, rounds) = (4u32, 96u32, 20);
        let (counter, board) = (m.zeros::<u32>(1), m.zeros::<u32>(2 * blocks as usize));
        let out = m.zeros::<u32>((blocks * threads) as usize);
        let args = kernels::grid_rounds::Args {
            counter: counter.ptr_mut(),
            rounds,
            board: board.ptr_mut(),
            out: out.ptr_mut(),
        };
        m.launch(LaunchConfig::new(blocks, threads).cooperative(), args);
        let mut values: Vec<u32> = (1..=blocks).collect();
        for _ in 0..rounds {
            let sum: u32 = values.iter().sum();
            values = (0..blocks).map(|b| sum % 1000 + b).collect();
        }
        let expected: Vec<u32> = (0..blocks * threads).map(|t| values[(t / threads) as usize]).collect();
        assert_eq!(out.read(), expected);
        assert_eq!(counter.read(), [rounds * blocks]);
    });
}

#[test]
fn a_dependent_launch_sees_what_the_one_before_wrote() {
    for_each_machine(|m| {
        let (first, second) = (m.zeros::<u32>(512), m.zeros::<u32>(512));
        m.launch(LaunchConfig::new(4, 128), kernels::predecessor::Args { out: first.ptr_mut() });
        m.launch(
            LaunchConfig::new(4, 128).dependent(true),
            kernels::successor::Args { from: first.ptr(), out: second.ptr_mut() },
        );
        let expected: Vec<u32> = (0..512).map(|i| 2 * (7 + i)).collect();
        assert_eq!(second.read(), expected);
    });
}
