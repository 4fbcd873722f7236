//! Gate, up and SwiGLU in one launch.

use crate::kernels::{Uploaded, assert_near, bits, launch};
use crate::machine;
use cuda_std::launch::LaunchConfig;
use psionic::device::Device;
use psionic::kernel::{Activations, Stored, bounds, to_f64};
use psionic::quant::QuantType::{self, Q4K, Q6K, Q8_0};
use psionic::random::Random;
use psionic_kernels::{activation, gate_up, project, swiglu};

const EPS: f32 = 1e-2;

fn check(device: &Device, kind: QuantType, (rows, cols): (usize, usize), blocks: u32, random: &mut Random) {
    let what = format!("{kind}, {rows} x {cols}, {blocks} blocks");
    // Gates from about -10 to 10: where SiLU bends, and beyond.
    let std = 3.0 * (cols as f32).sqrt().recip();
    let gate = Stored::random(kind, (rows, cols), std, random);
    let up = Stored::random(kind, (rows, cols), std, random);
    let x: Vec<f32> = random.normals(cols).iter().map(|v| 0.1 * v).collect();
    let norm = random.norm_weights(cols);

    let (gate_buffer, up_buffer) = (Uploaded::new(device, &gate), Uploaded::new(device, &up));
    let (x_buffer, norm_buffer) = (device.upload(&x).unwrap(), device.upload(&norm).unwrap());
    let config =
        LaunchConfig::new(blocks, project::THREADS).shared_bytes(activation::shared_bytes(cols) as u32);
    let run = || {
        let out = device.zeroed::<f32>(rows).unwrap();
        let args = gate_up::gate_up::Args {
            x: x_buffer.as_ptr(),
            norm: norm_buffer.as_ptr(),
            eps: EPS,
            gate: gate_buffer.argument(0, blocks),
            up: up_buffer.argument(0, blocks),
            out: out.as_mut_ptr(),
        };
        // SAFETY: both matrices are of one quantised kind and as wide as `x`, `out` has their rows.
        unsafe { launch(device, config, args) };
        device.download(&out).unwrap()
    };
    let found = run();
    assert_eq!(bits(&found), bits(&run()), "{what}: the second run is like the first");

    let v = Activations::new(&x, Some(&norm), EPS);
    let (gate, up) = (to_f64(&gate.weights()), to_f64(&up.weights()));
    let (g, u) = (project::reference(&gate, &v.rounded), project::reference(&up, &v.rounded));
    let expected = swiglu::reference(&g, &u);
    let rows = gate.chunks(cols).zip(up.chunks(cols)).zip(g.iter().zip(&u));
    let bounds: Vec<_> = rows.map(|((gate, up), (&g, &u))| bounds::gate_up(&v, (gate, g), (up, u))).collect();
    assert_near(&found, &expected, &bounds, &what);
}

#[test]
fn gate_up_and_swiglu() {
    let device = machine::device();
    let mut random = Random::new(30);
    for kind in [Q4K, Q6K, Q8_0] {
        for (rows, cols, blocks) in [(1, 256, 1), (3, 1280, 1), (129, 512, 5), (50, 2304, 3), (7, 5120, 2)] {
            check(&device, kind, (rows, cols), blocks, &mut random);
        }
    }
    for (rows, cols) in [(1, 32), (13, 96), (37, 992)] {
        check(&device, Q8_0, (rows, cols), 2, &mut random);
    }
}
