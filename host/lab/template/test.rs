//! `new_kernel` at lengths that are not round.

use crate::kernels::{assert_near, launch};
use crate::machine;
use cuda_std::launch::LaunchConfig;
use psionic::kernel::to_f64;
use psionic::random::Random;
use psionic_kernels::new_kernel as kernel;

type Args = kernel::new_kernel::Args;

#[test]
fn any_length() {
    let device = machine::device();
    let mut random = Random::new(60);
    for n in [1, 31, 256, 257, 3071] {
        let (x, factor) = (random.normals(n), random.normal());
        let (input, out) = (device.upload(&x).unwrap(), device.upload(&vec![f32::MAX; n + 1]).unwrap());
        let args = Args { x: input.as_slice(), factor, out: out.as_mut_ptr() };
        // SAFETY: `out` has more elements than `x`, and there is a thread for each.
        unsafe { launch(&device, LaunchConfig::new(n.div_ceil(64) as u32, 64), args) };
        let found = device.download(&out).unwrap();
        assert_eq!(found[n], f32::MAX, "nothing is written beyond the output");
        let expected = kernel::reference(&to_f64(&x), factor.into());
        let bounds: Vec<f64> = expected.iter().map(|v| kernel::bound(*v)).collect();
        assert_near(&found[..n], &expected, &bounds, &format!("{n} elements"));
    }
}
