//! Launches that are refused before a thread runs.

use cuda_device::{Device, DeviceError};
use cuda_sim::{FaultKind, SimConfig};
use cuda_std::launch::{KernelArgs, LaunchConfig, Param, ParamBuffer};

/// A kernel that does nothing, compiled for at most so many threads a block; 0 for any number.
#[derive(Clone, Copy)]
struct Nothing<const MOST: u32>;

impl<const MOST: u32> KernelArgs for Nothing<MOST> {
    const NAME: &'static str = "nothing";
    const PARAMS: &'static [Param] = &[];
    const LAUNCH_BOUNDS: Option<(u32, u32)> = if MOST == 0 { None } else { Some((MOST, 0)) };

    fn push(&self, _out: &mut ParamBuffer) {}

    unsafe fn call(&self) {}
}

fn launch<const MOST: u32>(config: LaunchConfig) -> Result<(), DeviceError> {
    let device = Device::simulated(SimConfig::default());
    // SAFETY: the kernel has no arguments.
    unsafe { device.launch(config, Nothing::<MOST>) }
}

/// A side of which three make more threads than 64 bits count.
const MANY: u32 = u32::MAX;

#[test]
fn blocks_of_more_threads_than_the_kernel_is_compiled_for() {
    launch::<64>(LaunchConfig::new(1, (8, 4, 2))).unwrap();
    for (block, threads) in [
        ((65, 1, 1), 65),
        ((1, MANY, 1), u64::from(MANY)),
        ((MANY, MANY, 1), u64::from(MANY) * u64::from(MANY)),
        ((MANY, MANY, MANY), u64::MAX),
    ] {
        let error = launch::<64>(LaunchConfig::new(1, block)).unwrap_err();
        let DeviceError::TooManyThreads { kernel: "nothing", asked, limit: 64 } = error else {
            panic!("{error}")
        };
        assert_eq!(asked, threads, "{block:?}");
    }
}

#[test]
fn shapes_of_more_threads_or_blocks_than_can_be_counted() {
    for config in [
        LaunchConfig::new(1, (MANY, MANY, MANY)),
        LaunchConfig::new((MANY, MANY, MANY), 1),
        LaunchConfig::new((MANY, MANY, MANY), 1).cooperative(),
    ] {
        let error = launch::<0>(config).unwrap_err();
        let DeviceError::Fault(fault) = error else { panic!("{error}") };
        assert!(matches!(fault.kind, FaultKind::LaunchTooLarge { .. }), "{fault}");
    }
    // None at all, however many the other sides would make.
    for (grid, block) in [((1, 1, 1), (MANY, MANY, 0)), ((0, MANY, MANY), (1, 1, 1))] {
        let error = launch::<64>(LaunchConfig::new(grid, block)).unwrap_err();
        let DeviceError::Fault(fault) = error else { panic!("{error}") };
        assert!(matches!(fault.kind, FaultKind::EmptyLaunch { .. }), "{fault}");
    }
}
