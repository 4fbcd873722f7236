//! Copies to shared memory that go on meanwhile.

use cuda_conformance::{Random, for_each_machine, for_each_newer_machine};
use cuda_conformance_kernels::copy_async as kernels;
use cuda_std::launch::{DevicePtr, DevicePtrMut, LaunchConfig};

#[test]
fn elements_of_every_size_are_copied_in_groups() {
    for_each_machine(|m| {
        let mut random = Random::new(10);
        for threads in [1usize, 40, 256] {
            macro_rules! copies {
                ($($kernel:ident, $size:literal;)*) => {$({
                    let bytes = random.many(2 * threads * $size, |r| r.word() as u8);
                    let (from, to) = (m.buffer(&bytes), m.zeros::<u8>(bytes.len()));
                    m.launch(
                        LaunchConfig::new(1, threads as u32).shared_bytes(bytes.len() as u32),
                        kernels::$kernel::Args {
                            from: DevicePtr::from_address(from.ptr().address()),
                            out: DevicePtrMut::from_address(to.ptr_mut().address()),
                        },
                    );
                    let halves = bytes.chunks(threads * $size);
                    let expected: Vec<u8> =
                        halves.flat_map(|h| h.chunks($size).rev().flatten().copied()).collect();
                    assert_eq!(to.read(), expected, "{} bytes", $size);
                })*};
            }
            copies! { copies_4, 4; copies_8, 8; copies_16, 16; }
        }
    });
}

#[test]
fn bulk_copies_complete_on_their_barrier() {
    for_each_newer_machine(|m| {
        let mut random = Random::new(11);
        for (tiles, tile_bytes, threads) in [(1u32, 16u32, 32u32), (7, 1024, 64), (6, 16 << 10, 256)] {
            let bytes = random.many((tiles * tile_bytes) as usize, |r| r.word() as u8);
            let (from, out) = (m.buffer(&bytes), m.zeros::<u32>(threads as usize));
            m.launch(
                LaunchConfig::new(1, threads).shared_bytes(128 + 2 * tile_bytes),
                kernels::bulk_copies::Args { from: from.ptr(), tiles, tile_bytes, out: out.ptr_mut() },
            );
            let mut expected = vec![0u32; threads as usize];
            for (tile, bytes) in bytes.chunks(tile_bytes as usize).enumerate() {
                for (i, word) in bytes.chunks(4).enumerate() {
                    expected[i % threads as usize] +=
                        word.iter().map(|b| u32::from(*b)).sum::<u32>() + tile as u32;
                }
            }
            assert_eq!(out.read(), expected);
        }
    });
}

#[test]
fn threads_meet_at_an_mbarrier() {
    for_each_machine(|m| {
        for threads in [1, 32, 200] {
            let out = m.zeros::<u32>(threads as usize);
            m.launch(LaunchConfig::new(1, threads), kernels::arrivals::Args { out: out.ptr_mut() });
            let expected: Vec<u32> = (0..threads).map(|t| (t + 4) % threads).collect();
            assert_eq!(out.read(), expected);
        }
    });
}
