//! Runs on the GPU if there is one, otherwise on the simulator.

use cuda_device::{BackendChoice, Device, DeviceError};
use host::{KERNELS, saxpy};

fn main() -> Result<(), DeviceError> {
    let device = Device::open(BackendChoice::Auto, &KERNELS)?;
    let x: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let y = saxpy(&device, 2.0, &x, &[1.0; 1000])?;
    println!("on the {}: y[999] is {}", device.info().name, y[999]);
    Ok(())
}
