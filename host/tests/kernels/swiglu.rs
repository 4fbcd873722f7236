//! SwiGLU on its own.

use crate::kernels::{assert_near, launch};
use crate::machine;
use cuda_std::launch::LaunchConfig;
use psionic::kernel::{bounds, to_f64};
use psionic::random::Random;
use psionic_kernels::swiglu;

#[test]
fn swiglu_of_any_length() {
    let device = machine::device();
    let mut random = Random::new(40);
    for n in [1, 31, 256, 257, 3071] {
        let mut gate_up: Vec<f32> = random.normals(2 * n).iter().map(|v| 5.0 * v).collect();
        // Where the exponential of the negated gate is infinite, or vanishes.
        for (gate, extreme) in
            gate_up[..n].iter_mut().skip(1).step_by(7).zip([-200.0, 200.0, -87.0, 0.0, -0.0])
        {
            *gate = extreme;
        }
        let (buffer, out) =
            (device.upload(&gate_up).unwrap(), device.upload(&vec![f32::MAX; n + 1]).unwrap());
        let args = swiglu::swiglu::Args { gate_up: buffer.as_ptr(), n: n as u32, out: out.as_mut_ptr() };
        // SAFETY: the buffers have `2 n` and `n` elements.
        unsafe { launch(&device, LaunchConfig::new(n.div_ceil(64) as u32, 64), args) };
        let found = device.download(&out).unwrap();
        assert_eq!(found[n], f32::MAX, "nothing is written beyond the output");
        let (gate, up) = (to_f64(&gate_up[..n]), to_f64(&gate_up[n..]));
        let expected = swiglu::reference(&gate, &up);
        let bounds: Vec<_> = gate.iter().zip(&up).map(|(gate, up)| bounds::swiglu(*gate, *up)).collect();
        assert_near(&found[..n], &expected, &bounds, &format!("{n} elements"));
    }
}
