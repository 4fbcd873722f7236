//! How fast the simulator is: `cargo run --release -p cuda_conformance --example simulator_speed`.

use std::time::Instant;

use cuda_conformance::Machine;
use cuda_conformance_kernels::{faults, speed};
use cuda_std::launch::{DevicePtr, KernelArgs, LaunchConfig};

fn seconds<K: KernelArgs + 'static>(m: &Machine, config: LaunchConfig, args: K) -> f64 {
    m.launch(config, args);
    let times = (0..5).map(|_| {
        let start = Instant::now();
        m.launch(config, args);
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Blocks of a matrix-vector product a second.
fn mat_vec(m: &Machine) -> f64 {
    let (blocks, columns) = (512u32, 1024u32);
    let matrix = m.zeros::<u8>((blocks * 8 * columns) as usize);
    let vector = m.zeros::<u8>(columns as usize);
    let out = m.zeros::<f32>((blocks * 8) as usize);
    let args = speed::mat_vec::Args {
        matrix: DevicePtr::from_address(matrix.ptr().address()),
        vector: DevicePtr::from_address(vector.ptr().address()),
        columns,
        out: out.ptr_mut(),
    };
    f64::from(blocks) / seconds(m, LaunchConfig::new(blocks, 256), args)
}

fn main() {
    let m = Machine::simulator(0);
    let checked = Machine::checking(0);
    println!("mat-vec, 256 threads, 8 rows of 1024 bytes a block: {:.0} blocks/s", mat_vec(&m));
    println!("the same with all checks: {:.0} blocks/s", mat_vec(&checked));
    let blocks = 512;
    let s = seconds(&m, LaunchConfig::new(blocks, 256), faults::nothing::Args {});
    println!(
        "an empty kernel: {:.0} blocks/s, {:.0} ns a thread",
        f64::from(blocks) / s,
        s * 1e9 / f64::from(blocks * 256)
    );
    let count = 2000;
    let s = seconds(&m, LaunchConfig::new(1, 256), speed::barriers::Args { count });
    println!("a barrier: {:.1} ns a thread, two switches of context", s * 1e9 / f64::from(count * 256));
}
