//! Matrices of every format times a vector of floats.

use crate::kernels::{Uploaded, assert_near, bits, launch, share};
use crate::machine;
use cuda_std::launch::LaunchConfig;
use psionic::device::Device;
use psionic::kernel::{Stored, bounds, to_f64};
use psionic::quant::QuantType::{self, F16, F32, Q4K, Q6K, Q8_0};
use psionic::random::Random;
use psionic_kernels::{project, project_f32};

fn check(
    device: &Device,
    matrices: &[(QuantType, usize)],
    blocks: &[u32],
    cols: usize,
    add: bool,
    random: &mut Random,
) {
    let what = format!("{matrices:?} x {cols}, add {add}");
    let std = (cols as f32).sqrt().recip();
    let stored: Vec<_> =
        matrices.iter().map(|&(kind, rows)| Stored::random(kind, (rows, cols), std, random)).collect();
    let rows: usize = stored.iter().map(|m| m.rows).sum();
    let (x, before) = (random.normals(cols), random.normals(rows));

    let uploaded: Vec<_> = stored.iter().map(|m| Uploaded::new(device, m)).collect();
    let ([m0, m1, m2], blocks) = share(&uploaded, blocks);
    let x_buffer = device.upload(&x).unwrap();
    let run = || {
        let out = device.upload(&before).unwrap();
        let (x, out_pointer) = (x_buffer.as_ptr(), out.as_mut_ptr());
        let args = project_f32::project_f32::Args { x, m0, m1, m2, out: out_pointer, add: add.into() };
        // SAFETY: the matrices are as wide as `x`, `out` has their rows.
        unsafe { launch(device, LaunchConfig::new(blocks, project::THREADS), args) };
        device.download(&out).unwrap()
    };
    let found = run();
    assert_eq!(bits(&found), bits(&run()), "{what}: the second run is like the first");

    let v = to_f64(&x);
    let (mut expected, mut allowed) = (vec![], vec![]);
    for m in &stored {
        let weights = to_f64(&m.weights());
        expected.extend(project::reference(&weights, &v));
        let added = if add { bounds::ADDED } else { 0.0 };
        allowed.extend(weights.chunks(cols).map(|row| bounds::float_dot(row, &v) + added));
    }
    if add {
        expected.iter_mut().zip(&before).for_each(|(expected, before)| *expected += f64::from(*before));
    }
    assert_near(&found, &expected, &allowed, &what);
}

#[test]
fn one_matrix_of_each_format() {
    let device = machine::device();
    let mut random = Random::new(20);
    for kind in QuantType::ALL {
        for (rows, cols, blocks, add) in [
            (1, 256, 1, false),
            (2, 512, 1, true),
            (3, 2304, 2, false),
            (129, 256, 5, true),
            (7, 5120, 1, false),
        ] {
            check(&device, &[(kind, rows)], &[blocks], cols, add, &mut random);
        }
    }
}

#[test]
fn a_last_chunk_that_is_half_full() {
    let device = machine::device();
    let mut random = Random::new(21);
    for kind in [F32, F16, Q8_0] {
        for (rows, cols) in [(1, 32), (5, 96), (3, 992), (17, 2080)] {
            check(&device, &[(kind, rows)], &[2], cols, false, &mut random);
        }
    }
}

#[test]
fn three_matrices_in_one_launch() {
    let device = machine::device();
    let mut random = Random::new(22);
    check(&device, &[(Q4K, 7), (F16, 129), (F32, 3)], &[1, 3, 2], 512, false, &mut random);
    check(&device, &[(F32, 65), (Q6K, 1), (Q8_0, 2)], &[1, 1, 1], 256, true, &mut random);
    check(&device, &[(F16, 9), (F32, 30)], &[2, 1], 96, true, &mut random);
}
