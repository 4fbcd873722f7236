//! A device's copies and clock.

use crate::machine;
use psionic::device::DeviceError;
use std::time::Duration;

#[test]
fn a_copy_within_the_device_has_every_element_and_leaves_the_rest() {
    let device = machine::device();
    let data: Vec<u32> = (0..1000).collect();
    let from = device.upload(&data).unwrap();
    let mut to = device.upload(&[7u32; 1003]).unwrap();
    device.copy(&from, &mut to).unwrap();
    assert_eq!(device.download(&to).unwrap(), [&data[..], &[7; 3]].concat());
    device.copy(&device.zeroed(0).unwrap(), &mut to).unwrap();
    let mut short = device.zeroed::<u32>(999).unwrap();
    assert!(matches!(device.copy(&from, &mut short), Err(DeviceError::OutOfRange { len: 1000, .. })));
}

#[test]
fn time_is_of_the_work_and_its_failure_is_passed_on() {
    let device = machine::device();
    let from = device.zeroed::<u8>(64 << 20).unwrap();
    let mut to = device.zeroed(64 << 20).unwrap();
    let time = device.time(|| device.copy(&from, &mut to)).unwrap();
    assert!(time > Duration::ZERO && time < Duration::from_secs(60), "{time:?}");
    assert!(matches!(device.time(|| Err(DeviceError::TooLarge)), Err(DeviceError::TooLarge)));
}
