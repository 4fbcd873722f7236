//! Shared memory, slices, parameters.

use cuda_conformance::{Random, for_each_machine};
use cuda_conformance_kernels::shared as kernels;
use cuda_std::U32x4;
use cuda_std::half::f16;
use cuda_std::launch::{DevicePtr, DevicePtrMut, LaunchConfig};

#[test]
fn shared_slices_hold_elements_of_every_size() {
    for_each_machine(|m| {
        let mut random = Random::new(9);
        for threads in [1usize, 33, 128] {
            macro_rules! reverse {
                ($($kernel:ident, $size:literal;)*) => {$({
                    let bytes = random.many(2 * threads * $size, |r| r.word() as u8);
                    let (from, to) = (m.buffer(&bytes), m.zeros::<u8>(bytes.len()));
                    m.launch(
                        LaunchConfig::new(2, threads as u32).shared_bytes(64 + (threads * $size) as u32),
                        kernels::$kernel::Args {
                            values: DevicePtr::from_address(from.ptr().address()),
                            out: DevicePtrMut::from_address(to.ptr_mut().address()),
                        },
                    );
                    let blocks = bytes.chunks(threads * $size);
                    let expected: Vec<u8> =
                        blocks.flat_map(|b| b.chunks($size).rev().flatten().copied()).collect();
                    assert_eq!(to.read(), expected, "{} bytes", $size);
                })*};
            }
            reverse! { reverse_1, 1; reverse_2, 2; reverse_4, 4; reverse_8, 8; reverse_16, 16; }
        }
    });
}

#[test]
fn elements_are_found_by_the_bits_of_their_numbers() {
    for_each_machine(|m| {
        let words: Vec<u32> = (0..4 * 64).collect();
        let (from, to) = (m.buffer(&words), m.zeros::<[[u32; 4]; 2]>(64));
        m.launch(
            LaunchConfig::new(1, 64).shared_bytes(64 * 16),
            kernels::flipped::Args {
                values: DevicePtr::from_address(from.ptr().address()),
                out: DevicePtrMut::from_address(to.ptr_mut().address()),
            },
        );
        let element = |i: u32| [0, 1, 2, 3].map(|word| 4 * i + word);
        let expected: Vec<_> = (0..64).map(|i| [4, 15].map(|bits| element(i ^ bits))).collect();
        assert_eq!(to.read(), expected);
    });
}

#[test]
fn arrays_do_not_overlap() {
    for_each_machine(|m| {
        let out = m.zeros::<[u32; 4]>(128);
        m.launch(LaunchConfig::new(2, 64).shared_bytes(256), kernels::arrays::Args { out: out.ptr_mut() });
        let expected: Vec<[u32; 4]> = (0..128)
            .map(|t| {
                let (block, other) = (t / 64, 63 - t % 64);
                let first = other / 4 * 4 + block;
                [1000 + other + block, other + block, 5000 + other + block, first * 0x0101_0101 + 0x0302_0100]
            })
            .collect();
        assert_eq!(out.read(), expected);
    });
}

#[test]
fn slices_know_their_length_and_place() {
    for_each_machine(|m| {
        let out = m.zeros::<[u32; 4]>(1);
        m.launch(
            LaunchConfig::new(1, 1).shared_bytes(256),
            kernels::slice_facts::Args { out: out.ptr_mut() },
        );
        assert_eq!(out.read(), [[100, 2, 32 + 14, 25]]);
    });
}

#[test]
fn parameters_of_every_kind_arrive() {
    for_each_machine(|m| {
        let read = m.buffer(&[1u16, 2, 60_000]);
        let write = m.zeros::<f64>(20);
        let pointer = m.buffer(&[4_000_000_000u32]);
        let args = kernels::parameters::Args {
            flag: true,
            small: 200,
            short: -30_000,
            word: 3_000_000_000,
            long: -(1 << 52),
            float: 0.5,
            double: 1e300,
            half: f16::from_f32(-2.5),
            vector: U32x4([1, 2, 3, 77]),
            record: kernels::Record { a: 250, b: -0.125, c: [7, 8, 9] },
            read: read.slice(),
            write: write.slice_mut(),
            pointer: pointer.ptr(),
            absent: DevicePtr::null(),
        };
        m.launch(LaunchConfig::new(1, 1), args);
        let expected = [
            1.0,
            200.0,
            -30_000.0,
            3e9,
            -4_503_599_627_370_496.0,
            0.5,
            1e300,
            -2.5,
            77.0,
            250.0,
            -0.125,
            9.0,
            3.0,
            60_000.0,
            20.0,
            4e9,
            1.0,
            0.0,
            0.0,
            0.0,
        ];
        assert_eq!(write.read(), expected);
    });
}

#[test]
fn kernels_are_ordinary_functions() {
    for_each_machine(|m| {
        let out = m.zeros::<u32>(64);
        m.launch(LaunchConfig::new(1, 64), kernels::countdown::Args { count: 20, out: out.ptr_mut() });
        let expected: Vec<u32> = (0..64).map(|t| if t < 32 { 20u32.saturating_sub(t) } else { 0 }).collect();
        assert_eq!(out.read(), expected);
    });
}
