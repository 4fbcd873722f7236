//! Quantised matrices times a vector in 8-bit codes.

use crate::kernels::{Uploaded, assert_near, bits, launch, share};
use crate::machine;
use cuda_std::launch::{DevicePtr, LaunchConfig};
use psionic::device::Device;
use psionic::kernel::{Activations, Stored, bounds, to_f64};
use psionic::quant::QuantType::{self, Q4K, Q6K, Q8_0};
use psionic::random::Random;
use psionic_kernels::{activation, project};

const EPS: f32 = 1e-2;

struct Case<'a> {
    matrices: &'a [(QuantType, usize)],
    blocks: &'a [u32],
    cols: usize,
    norm: bool,
    add: bool,
}

fn check(device: &Device, case: &Case<'_>, random: &mut Random) {
    let cols = case.cols;
    let what = format!("{:?} x {cols}, norm {}, add {}", case.matrices, case.norm, case.add);
    let std = (cols as f32).sqrt().recip();
    let stored = |&(kind, rows): &(_, usize)| Stored::random(kind, (rows, cols), std, random);
    let stored: Vec<_> = case.matrices.iter().map(stored).collect();
    let x: Vec<f32> = random.normals(cols).iter().map(|v| 0.1 * v).collect();
    let norm = random.norm_weights(cols);
    let rows: usize = stored.iter().map(|m| m.rows).sum();
    let before = random.normals(rows);

    let uploaded: Vec<_> = stored.iter().map(|m| Uploaded::new(device, m)).collect();
    let ([m0, m1, m2], blocks) = share(&uploaded, case.blocks);
    let (x_buffer, norm_buffer) = (device.upload(&x).unwrap(), device.upload(&norm).unwrap());
    let norm_pointer = if case.norm { norm_buffer.as_ptr() } else { DevicePtr::null() };
    let config =
        LaunchConfig::new(blocks, project::THREADS).shared_bytes(activation::shared_bytes(cols) as u32);
    let run = || {
        let out = device.upload(&before).unwrap();
        let args = project::project::Args {
            x: x_buffer.as_ptr(),
            norm: norm_pointer,
            eps: EPS,
            m0,
            m1,
            m2,
            out: out.as_mut_ptr(),
            add: case.add.into(),
        };
        // SAFETY: the matrices are quantised and as wide as `x`, `out` has their rows.
        unsafe { launch(device, config, args) };
        device.download(&out).unwrap()
    };
    let found = run();
    assert_eq!(bits(&found), bits(&run()), "{what}: the second run is like the first");

    let v = Activations::new(&x, case.norm.then_some(&norm[..]), EPS);
    let (mut rounded, mut exact, mut narrow, mut wide) = (vec![], vec![], vec![], vec![]);
    for m in &stored {
        let weights = to_f64(&m.weights());
        rounded.extend(project::reference(&weights, &v.rounded));
        exact.extend(project::reference(&weights, &v.exact));
        for row in weights.chunks(cols) {
            let bound = v.bound(row) + if case.add { bounds::ADDED } else { 0.0 };
            narrow.push(bound);
            wide.push(bound + v.rounding_bound(row));
        }
    }
    if case.add {
        for (i, before) in before.iter().enumerate() {
            rounded[i] += f64::from(*before);
            exact[i] += f64::from(*before);
        }
    }
    assert_near(&found, &rounded, &narrow, &format!("{what}, activations as their codes"));
    assert_near(&found, &exact, &wide, &format!("{what}, activations as they are"));
}

#[test]
fn one_matrix() {
    let device = machine::device();
    let mut random = Random::new(10);
    for kind in [Q4K, Q6K, Q8_0] {
        let cases = [
            (1, 256, 1, false, false),
            (2, 512, 1, true, false),
            (3, 1280, 2, false, true),
            (7, 2304, 3, true, true),
            (129, 256, 5, true, false),
            (2, 5120, 1, false, false),
            (3, 5120, 1, true, true),
        ];
        for (rows, cols, blocks, norm, add) in cases {
            check(
                &device,
                &Case { matrices: &[(kind, rows)], blocks: &[blocks], cols, norm, add },
                &mut random,
            );
        }
    }
}

#[test]
fn a_last_chunk_that_is_half_full() {
    let device = machine::device();
    let mut random = Random::new(11);
    for (rows, cols) in [(1, 32), (5, 96), (3, 992), (17, 2080)] {
        for norm in [false, true] {
            let case = Case { matrices: &[(Q8_0, rows)], blocks: &[2], cols, norm, add: norm };
            check(&device, &case, &mut random);
        }
    }
}

#[test]
fn three_matrices_in_one_launch() {
    let device = machine::device();
    let mut random = Random::new(12);
    let mixtures: [(&[_], &[_]); 5] = [
        (&[(Q4K, 7), (Q6K, 129), (Q8_0, 3)], &[1, 3, 2]),
        (&[(Q8_0, 65), (Q4K, 1), (Q6K, 2)], &[1, 1, 1]),
        (&[(Q6K, 1), (Q8_0, 31), (Q4K, 64)], &[4, 1, 2]),
        (&[(Q4K, 33), (Q6K, 5)], &[2, 1]),
        (&[(Q4K, 16), (Q4K, 8), (Q4K, 8)], &[1, 1, 1]),
    ];
    for (i, (matrices, blocks)) in mixtures.into_iter().enumerate() {
        let (cols, norm, add) = ([512, 256, 1280][i % 3], i % 2 == 0, i % 3 == 1);
        check(&device, &Case { matrices, blocks, cols, norm, add }, &mut random);
    }
}

/// A vector of zeros has scales of zero: nothing is divided by them.
#[test]
fn zeros_give_zeros() {
    let device = machine::device();
    let stored = Stored::random(Q4K, (3, 256), 1.0, &mut Random::new(13));
    let uploaded = [Uploaded::new(&device, &stored)];
    let ([m0, m1, m2], blocks) = share(&uploaded, &[1]);
    let (x, out) = (device.zeroed::<f32>(256).unwrap(), device.upload(&[1.0f32; 3]).unwrap());
    let (x, norm) = (x.as_ptr(), DevicePtr::null());
    let args = project::project::Args { x, norm, eps: EPS, m0, m1, m2, out: out.as_mut_ptr(), add: 0 };
    let config =
        LaunchConfig::new(blocks, project::THREADS).shared_bytes(activation::shared_bytes(256) as u32);
    // SAFETY: the matrix is quantised and as wide as `x`, `out` has its rows.
    unsafe { launch(&device, config, args) };
    assert_eq!(device.download(&out).unwrap(), [0.0; 3]);
}
