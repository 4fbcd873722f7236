//! What GPUs have.
//!
//! Limits are those of a compute capability, from the table "Technical Specifications per Compute Capability" of
//! NVIDIA's CUDA C++ Programming Guide (13.0; 7.0 from 12.0); the units in which registers and shared memory are given
//! out from `cuda_occupancy.h` of the toolkit. Multiprocessors of a GPU are those of NVIDIA's data sheets.
//!
//! Held against `cuda/__device/arch_traits.h` of NVIDIA's CCCL, which says the same (004ad19). Older ones, without 8.7 and
//! 12.1, said 64 warps and 32 blocks of 11.0, and 32 blocks of 12.0.

/// What a multiprocessor of a compute capability has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// The capability as one number: 90 is 9.0.
    pub capability: u32,
    /// The most warps that it holds.
    pub warps: u32,
    /// The most blocks that it holds.
    pub blocks: u32,
    /// Its shared memory, in bytes.
    pub shared_bytes: u32,
    /// The most shared memory of a block, in bytes.
    pub block_shared_bytes: u32,
    /// Shared memory is given to a block in units of so many bytes.
    pub shared_unit: u32,
    /// Shared memory that the system takes of each block, in bytes.
    pub reserved_shared_bytes: u32,
}

/// The registers of a multiprocessor, since 3.7.
pub const REGISTERS: u32 = 65_536;
/// The most registers of a thread.
pub const THREAD_REGISTERS: u32 = 255;
/// Registers are given to a warp in units of so many.
pub const REGISTER_UNIT: u32 = 256;
/// Registers lie in so many parts of a multiprocessor, and a warp in one of them.
pub const PARTS: u32 = 4;
/// The threads of a warp.
pub const WARP: u32 = 32;
/// The most threads of a block.
pub const BLOCK_THREADS: u32 = 1024;

const fn capability(capability: u32, warps: u32, blocks: u32, shared_kib: u32) -> Capability {
    let new = capability >= 80;
    Capability {
        capability,
        warps,
        blocks,
        shared_bytes: shared_kib << 10,
        // Since 8.0 the system has 1 KiB of each block.
        block_shared_bytes: (shared_kib - if new { 1 } else { 0 }) << 10,
        shared_unit: if new { 128 } else { 256 },
        reserved_shared_bytes: if new { 1024 } else { 0 },
    }
}

/// The capabilities that are known, the oldest first.
pub const CAPABILITIES: &[Capability] = &[
    capability(70, 64, 32, 96),
    capability(75, 32, 16, 64),
    capability(80, 64, 32, 164),
    capability(86, 48, 16, 100),
    capability(87, 48, 16, 164),
    capability(89, 48, 24, 100),
    capability(90, 64, 32, 228),
    capability(100, 64, 32, 228),
    capability(103, 64, 32, 228),
    capability(110, 48, 24, 228),
    capability(120, 48, 24, 100),
    capability(121, 48, 24, 100),
];

impl Capability {
    /// The one of a number, 90 for 9.0.
    pub fn of(number: u32) -> Option<Self> {
        CAPABILITIES.iter().copied().find(|found| found.capability == number)
    }

    /// The one of a target: `sm_90`, `sm_90a`.
    pub fn of_target(target: &str) -> Option<Self> {
        let digits = target.strip_prefix("sm_")?.trim_end_matches(['a', 'f']);
        Self::of(digits.parse().ok()?)
    }
}

/// A GPU that one can buy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpu {
    /// Its name.
    pub name: &'static str,
    /// Its compute capability.
    pub capability: u32,
    /// Its multiprocessors.
    pub multiprocessors: u32,
}

macro_rules! gpus {
    ($($name:literal $capability:literal $multiprocessors:literal,)*) => {
        /// The GPUs that are known by name.
        pub const GPUS: &[Gpu] = &[
            $(Gpu { name: $name, capability: $capability, multiprocessors: $multiprocessors },)*
        ];
    };
}

gpus! {
    "V100" 70 80, "T4" 75 40, "RTX 2080 Ti" 75 68,
    "A100" 80 108, "A30" 80 56,
    "A10" 86 72, "A40" 86 84, "RTX 3060" 86 28, "RTX 3070" 86 46, "RTX 3080" 86 68, "RTX 3090" 86 82,
    "RTX 3090 Ti" 86 84, "AGX Orin" 87 16,
    "L4" 89 58, "L40" 89 142, "L40S" 89 142, "RTX 4060" 89 24, "RTX 4070" 89 46, "RTX 4070 Ti" 89 60, "RTX 4080" 89 76,
    "RTX 4090" 89 128,
    "H100" 90 132, "H100 PCIe" 90 114, "H200" 90 132, "GH200" 90 132,
    "B200" 100 148, "B300" 103 148, "AGX Thor" 110 20,
    "RTX 5070" 120 48, "RTX 5070 Ti" 120 70, "RTX 5080" 120 84, "RTX 5090" 120 170, "RTX PRO 6000" 120 188,
    "GB10" 121 48,
}

impl Gpu {
    /// The one of a name, whatever its case and spaces: `rtx4080`.
    pub fn of(name: &str) -> Option<Self> {
        let plain = |name: &str| -> String {
            let letters = name.chars().filter(|c| c.is_ascii_alphanumeric());
            letters.map(|c| c.to_ascii_lowercase()).collect()
        };
        GPUS.iter().copied().find(|gpu| plain(gpu.name) == plain(name))
    }

    /// What each of its multiprocessors has.
    pub fn limits(self) -> Option<Capability> {
        Capability::of(self.capability)
    }

    /// The target that code for it is compiled for: `sm_90`.
    pub fn target(self) -> String {
        format!("sm_{}", self.capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gpu_has_limits_and_a_name_of_its_own() {
        for (i, gpu) in GPUS.iter().enumerate() {
            assert!(gpu.limits().is_some(), "{}", gpu.name);
            assert!(GPUS[i + 1..].iter().all(|other| Gpu::of(other.name) != Some(*gpu)), "{}", gpu.name);
        }
        assert_eq!(Gpu::of("rtx-4080").map(|gpu| gpu.multiprocessors), Some(76));
        assert_eq!(Capability::of_target("sm_90a").map(|found| found.capability), Some(90));
        assert_eq!(Capability::of_target("sm_55"), None);
    }
}
