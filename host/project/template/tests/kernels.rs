//! The kernels on the simulator, or with `PSIONIC_TEST_BACKEND=cuda` on the GPU, against plain loops.

use cuda_device::{BackendChoice, Device};
use host::{KERNELS, saxpy};

#[test]
fn saxpy_is_right_for_every_length() {
    let device = Device::open(BackendChoice::for_tests(), &KERNELS).expect("the tests' device opens");
    for len in [0, 1, 255, 256, 257, 5000] {
        let x: Vec<f32> = (0..len).map(|i| i as f32 / 8.0).collect();
        let y: Vec<f32> = (0..len).map(|i| 100.0 - i as f32).collect();
        let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| 0.5 * x + y).collect();
        assert_eq!(saxpy(&device, 0.5, &x, &y).expect("the kernel runs"), expected);
    }
}
