//! Loads and stores of every type with every policy.

use cuda_conformance::{Machine, Random, for_each_machine};
use cuda_conformance_kernels::global as kernels;
use cuda_std::launch::LaunchConfig;

const THREADS: usize = 96;

/// Copies bytes through a kernel for elements of `size` bytes; `launch` is given the five addresses.
fn copies(m: &Machine, size: usize, launch: impl Fn(u64, [u64; 4])) {
    let mut random = Random::new(size as u64);
    let bytes = random.many(THREADS * size, |r| r.word() as u8);
    let from = m.buffer(&bytes);
    let to: [_; 4] = std::array::from_fn(|_| m.zeros::<u8>(THREADS * size));
    launch(from.ptr().address(), std::array::from_fn(|i| to[i].ptr_mut().address()));
    for (policy, to) in ["Cached", "L2", "ReadOnly", "Streaming"].iter().zip(&to) {
        assert_eq!(to.read(), bytes, "{size} bytes, {policy}");
    }
}

macro_rules! test_types {
    ($($kernel:ident;)*) => {
        #[test]
        fn every_size_is_loaded_with_every_policy_and_stored() {
            for_each_machine(|m| {$(
                let size = kernel_element(|from| kernels::$kernel::Args {
                    from,
                    cached: from_address(0),
                    l2: from_address(0),
                    read_only: from_address(0),
                    streaming: from_address(0),
                });
                copies(m, size, |from, to| {
                    m.launch(LaunchConfig::new(3, 32), kernels::$kernel::Args {
                        from: cuda_std::launch::DevicePtr::from_address(from),
                        cached: from_address(to[0]),
                        l2: from_address(to[1]),
                        read_only: from_address(to[2]),
                        streaming: from_address(to[3]),
                    });
                });
            )*});
        }
    };
}

fn from_address<T>(address: u64) -> cuda_std::launch::DevicePtrMut<T> {
    cuda_std::launch::DevicePtrMut::from_address(address)
}

/// The size of what a kernel's `from` points to.
fn kernel_element<T, A>(_: impl Fn(cuda_std::launch::DevicePtr<T>) -> A) -> usize {
    size_of::<T>()
}

test_types! {
    loads_u8; loads_i8; loads_u16; loads_i16; loads_u32; loads_i32; loads_u64; loads_i64;
    loads_f32; loads_f64; loads_f16; loads_bf16; loads_u32x2; loads_u32x4; loads_f32x2; loads_f32x4;
}
