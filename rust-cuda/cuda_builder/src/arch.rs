//! The GPU architectures that PTX can be made for.
use std::fmt;

macro_rules! archs {
    ($($(#[$attribute:meta])* $variant:ident $name:literal $capability:literal,)*) => {
        /// A GPU architecture, by its compute capability.
        ///
        /// `a` and `f` are the variants whose features are tied to one architecture or one family of them.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum NvvmArch {
            $(
                #[doc = concat!("`sm_", $name, "`")]
                $(#[$attribute])*
                $variant,
            )*
        }

        impl NvvmArch {
            /// Every architecture, oldest first.
            pub const ALL: &[NvvmArch] = &[$(NvvmArch::$variant),*];

            /// The capability as one number: 80 is 8.0.
            pub fn capability_value(self) -> u32 {
                match self { $(NvvmArch::$variant => $capability,)* }
            }

            /// The name that LLVM and PTX know it by: `sm_80`.
            pub fn sm(self) -> &'static str {
                match self { $(NvvmArch::$variant => concat!("sm_", $name),)* }
            }
        }
    };
}

archs! {
    Compute50 "50" 50, Compute52 "52" 52, Compute53 "53" 53,
    Compute60 "60" 60, Compute61 "61" 61, Compute62 "62" 62,
    Compute70 "70" 70, Compute72 "72" 72, Compute75 "75" 75,
    #[default] Compute80 "80" 80, Compute86 "86" 86, Compute87 "87" 87, Compute89 "89" 89,
    Compute90 "90" 90, Compute90a "90a" 90,
    Compute100 "100" 100, Compute100a "100a" 100, Compute100f "100f" 100,
    Compute103 "103" 103, Compute103a "103a" 103, Compute103f "103f" 103,
    Compute110 "110" 110, Compute110a "110a" 110, Compute110f "110f" 110,
    Compute120 "120" 120, Compute120a "120a" 120, Compute120f "120f" 120,
    Compute121 "121" 121, Compute121a "121a" 121, Compute121f "121f" 121,
}

/// The capabilities at which a kernel may want other code: each is a `cfg(cuda_arch_ge_N)`.
const STEPS: &[u32] = &[70, 75, 80, 86, 89, 90, 100, 120];

impl NvvmArch {
    /// The rustc flags that tell a kernel crate which architecture it is compiled for: `cfg(cuda_arch = "80")` and one
    /// `cfg(cuda_arch_ge_N)` for every step up to it.
    pub(crate) fn cfg_flags(self) -> Vec<String> {
        let name = &self.sm()["sm_".len()..];
        let mut flags = vec![
            format!("--cfg=cuda_arch=\"{name}\""),
            "--check-cfg=cfg(cuda_arch,values(any()))".to_owned(),
        ];
        for &step in STEPS {
            flags.push(format!("--check-cfg=cfg(cuda_arch_ge_{step})"));
            if self.capability_value() >= step {
                flags.push(format!("--cfg=cuda_arch_ge_{step}"));
            }
        }
        flags
    }
}

impl fmt::Display for NvvmArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_the_architecture_and_every_step_up_to_it() {
        let flags = NvvmArch::Compute90a.cfg_flags();
        for wanted in ["--cfg=cuda_arch=\"90a\"", "--cfg=cuda_arch_ge_70", "--cfg=cuda_arch_ge_90"] {
            assert!(flags.iter().any(|flag| flag == wanted), "{wanted} is missing from {flags:?}");
        }
        assert!(!flags.iter().any(|flag| flag == "--cfg=cuda_arch_ge_100"));
    }
}
