//! Shuffles, votes, matches, reductions.

use cuda_conformance::{Random, for_each_machine};
use cuda_conformance_kernels::warp as kernels;
use cuda_std::launch::LaunchConfig;

const MASKS: [u32; 5] = [u32::MAX, 0x0000_ffff, 0xaaaa_aaaa, 0x8000_0001, 0x0123_4567];

#[test]
fn shuffles_read_from_the_lane_they_name() {
    for_each_machine(|m| {
        let mut random = Random::new(1);
        for uniform in [0, 1, 5, 16, 31, 32, 33, 63] {
            // Finite floats in any lane: the payload of a NaN is not at stake.
            let values = random.many(96, |r| r.word() as u32 & 0xbfff_ffff);
            let mut arguments = random.many(96, |r| r.word() as u32 % 64);
            arguments.iter_mut().step_by(32).for_each(|a| *a = uniform);
            let (v, a) = (m.buffer(&values), m.buffer(&arguments));
            let out = m.zeros::<[u32; 6]>(96);
            m.launch(
                LaunchConfig::new(1, 96),
                kernels::shuffles::Args { values: v.ptr(), argument: a.ptr(), out: out.ptr_mut() },
            );
            let expected: Vec<[u32; 6]> = (0..96)
                .map(|t| {
                    let (base, lane, by) = (t / 32 * 32, t % 32, uniform as usize % 32);
                    let idx = values[base + arguments[t] as usize % 32];
                    let xor = values[base + (lane ^ by)];
                    let up = values[base + if lane >= by { lane - by } else { lane }];
                    let down = values[base + if lane + by < 32 { lane + by } else { lane }];
                    [idx, xor, up, down, idx, xor]
                })
                .collect();
            assert_eq!(out.read(), expected, "by {uniform}");
        }
    });
}

#[test]
fn votes_and_matches_see_the_lanes_of_the_mask() {
    for_each_machine(|m| {
        let mut random = Random::new(2);
        for mask in MASKS {
            for (modulus, base) in [(4, 0), (1, 1001), (1, 2000), (4000, 0)] {
                let values = random.many(32, |r| base + r.word() as u32 % modulus);
                let v = m.buffer(&values);
                let out = m.zeros::<[u32; 5]>(32);
                m.launch(
                    LaunchConfig::new(1, 32),
                    kernels::votes::Args { mask, values: v.ptr(), out: out.ptr_mut() },
                );
                let inside: Vec<usize> = (0..32).filter(|l| mask >> l & 1 == 1).collect();
                let odd = |l: &&usize| values[**l] % 2 == 1;
                let bits = |f: &dyn Fn(usize) -> bool| {
                    inside.iter().filter(|l| f(**l)).map(|l| 1u32 << l).sum::<u32>()
                };
                let expected: Vec<[u32; 5]> = (0..32)
                    .map(|lane| {
                        if !inside.contains(&lane) {
                            return [0; 5];
                        }
                        let same = inside.iter().all(|l| values[*l] / 1000 == values[inside[0]] / 1000);
                        [
                            u32::from(inside.iter().filter(odd).count() == inside.len()),
                            u32::from(inside.iter().any(|l| odd(&l))),
                            bits(&|l| values[l] % 2 == 1),
                            bits(&|l| values[l] == values[lane]),
                            if same { mask } else { 0 },
                        ]
                    })
                    .collect();
                assert_eq!(out.read(), expected, "mask {mask:#x}");
            }
        }
    });
}

#[test]
fn reductions_combine_the_lanes_of_the_mask() {
    for_each_machine(|m| {
        let mut random = Random::new(3);
        for mask in MASKS {
            let values = random.many(64, |r| r.word() as u32);
            let v = m.buffer(&values);
            let out = m.zeros::<[u32; 9]>(64);
            m.launch(
                LaunchConfig::new(1, 64),
                kernels::reductions::Args { mask, values: v.ptr(), out: out.ptr_mut() },
            );
            let expected: Vec<[u32; 9]> = (0..64)
                .map(|t| {
                    if mask >> (t % 32) & 1 == 0 {
                        return [0; 9];
                    }
                    let lanes: Vec<u32> =
                        (0..32).filter(|l| mask >> l & 1 == 1).map(|l| values[t / 32 * 32 + l]).collect();
                    let sum = lanes.iter().map(|v| u64::from(*v)).sum::<u64>() as u32;
                    let signed = || lanes.iter().map(|v| *v as i32);
                    [
                        sum,
                        *lanes.iter().min().unwrap(),
                        *lanes.iter().max().unwrap(),
                        signed().min().unwrap() as u32,
                        signed().max().unwrap() as u32,
                        lanes.iter().fold(!0, |a, b| a & b),
                        lanes.iter().fold(0, |a, b| a | b),
                        lanes.iter().fold(0, |a, b| a ^ b),
                        sum,
                    ]
                })
                .collect();
            assert_eq!(out.read(), expected, "mask {mask:#x}");
        }
    });
}

#[test]
fn butterflies_give_every_lane_the_same_bits() {
    for_each_machine(|m| {
        let mut random = Random::new(4);
        let mut values = random.many(96, |r| r.between(-1e3, 1e3) as f32);
        values[32..64].copy_from_slice(&[-0.0; 32]);
        values[50] = 0.0;
        values[70] = f32::NAN;
        let v = m.buffer(&values);
        let out = m.zeros::<[f32; 2]>(96);
        m.launch(
            LaunchConfig::new(1, 96),
            kernels::butterflies::Args { values: v.ptr(), out: out.ptr_mut() },
        );
        let seen = out.read();
        for warp in 0..3 {
            // The tree that the documentation states.
            let mut tree = values[32 * warp..32 * warp + 32].to_vec();
            while tree.len() > 1 {
                let (low, high) = tree.split_at(tree.len() / 2);
                tree = low.iter().zip(high).map(|(a, b)| a + b).collect();
            }
            let numbers = values[32 * warp..32 * warp + 32].iter().filter(|v| !v.is_nan());
            let greatest = numbers.copied().max_by(f32::total_cmp).unwrap();
            for lane in &seen[32 * warp..32 * warp + 32] {
                assert!(lane[0].to_bits() == tree[0].to_bits() || lane[0].is_nan() && tree[0].is_nan());
                assert_eq!(lane[1].to_bits(), greatest.to_bits());
            }
        }
    });
}

#[test]
fn barriers_of_a_warp_part_writes_from_reads() {
    for_each_machine(|m| {
        let out = m.zeros::<[u32; 2]>(256);
        m.launch(LaunchConfig::new(1, 256), kernels::warp_barrier::Args { out: out.ptr_mut() });
        for (t, [value, active]) in out.read().into_iter().enumerate() {
            assert_eq!(value as usize, t / 32 * 32 + (t + 5) % 32);
            assert_ne!(active & 1 << (t % 32), 0, "a lane that runs is active");
        }
    });
}

#[test]
fn groups_of_lanes_may_overlap() {
    for_each_machine(|m| {
        let out = m.zeros::<u32>(32);
        m.launch(LaunchConfig::new(1, 32), kernels::overlapping_groups::Args { out: out.ptr_mut() });
        let mut expected = [0; 32];
        expected[..3].copy_from_slice(&[201, 23 + 201, 23]);
        assert_eq!(out.read(), expected);
    });
}

#[test]
fn shuffles_stay_in_their_section() {
    for_each_machine(|m| {
        let mut random = Random::new(20);
        for (width, by) in [(32, 3), (16, 1), (16, 17), (8, 5), (4, 4), (2, 1), (1, 0), (32, 0)] {
            // Small numbers are finite floats of every kind, and equal now and then.
            let values = random.many(32, |r| r.word() % 24);
            let v = m.buffer(&values);
            let out = m.zeros::<[u64; 10]>(32);
            let args = kernels::sections::Args { width, by, values: v.ptr(), out: out.ptr_mut() };
            m.launch(LaunchConfig::new(1, 32), args);
            let expected: Vec<[u64; 10]> = (0..32u32)
                .map(|lane| {
                    let first = lane / width * width;
                    let get = |from: u32, fine: bool| values[if fine { from } else { lane } as usize];
                    let up_in = lane >= first + by;
                    let down_in = lane + by < first + width;
                    let xor_in = lane ^ by < first + width;
                    let up = get(lane.wrapping_sub(by), up_in);
                    let down = get(lane + by, down_in);
                    let xor = get(lane ^ by, xor_in);
                    let same = (0..32).filter(|l| values[*l] / 3 == values[lane as usize] / 3);
                    let flags = 1 + 2 * u64::from(up_in) + 4 * u64::from(down_in) + 8 * u64::from(xor_in);
                    let all = u64::from(u32::MAX) * u64::from(values.iter().all(|v| *v == values[0]));
                    let idx = get(first + by % width, true);
                    [idx, up, down, xor, xor, up, down, flags, same.map(|l| 1u64 << l).sum(), all]
                })
                .collect();
            assert_eq!(out.read(), expected, "width {width}, by {by}");
        }
    });
}

#[test]
fn reductions_have_upstreams_names_too() {
    for_each_machine(|m| {
        let values = Random::new(21).many(32, |r| r.word() as u32);
        let v = m.buffer(&values);
        let out = m.zeros::<[u32; 9]>(32);
        m.launch(
            LaunchConfig::new(1, 32),
            kernels::upstream_reductions::Args { values: v.ptr(), out: out.ptr_mut() },
        );
        let odd = (0..32).filter(|l| values[*l] % 2 == 1).map(|l| 1 << l).sum::<u32>();
        let expected = [
            values.iter().fold(0, |a: u32, b| a.wrapping_add(*b)),
            values.iter().map(|v| *v as i32).min().unwrap() as u32,
            *values.iter().max().unwrap(),
            values.iter().fold(!0, |a, b| a & b),
            values.iter().fold(0, |a, b| a | b),
            values.iter().fold(0, |a, b| a ^ b),
            u32::from(odd == !0),
            u32::from(odd != 0),
            odd,
        ];
        assert_eq!(out.read(), [expected; 32]);
    });
}
