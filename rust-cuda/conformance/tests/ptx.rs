//! The kernels' PTX, which has every intrinsic: `cuda_ptx` knows each instruction of it.

use cuda_conformance::KERNELS;
use cuda_ptx::lint::{Lint, lint};

#[test]
fn every_instruction_is_known() {
    for (arch, text) in KERNELS.ptx {
        let module = cuda_ptx::parse(text).unwrap_or_else(|error| panic!("sm_{arch}: {error}"));
        let functions = cuda_ptx::analyse(&module);
        assert!(functions.len() > 50, "sm_{arch}: {}", functions.len());
        for function in functions {
            assert!(function.mix.unknown.is_empty(), "{}: {:?}", function.name, function.mix.unknown);
            let blocks: u64 = function.blocks.iter().map(|block| block.mix.instructions).sum();
            assert_eq!(blocks, function.mix.instructions, "{}", function.name);
        }
        // LLVM writes another one for it.
        assert!(text.contains("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"), "sm_{arch}");
        assert!(!text.contains("tf32"), "sm_{arch}");
        let double = |function: &str| {
            lint(&module).iter().any(|finding| finding.lint == Lint::Double && finding.function == function)
        };
        assert!(double("exact_f64") && !double("arrays"), "sm_{arch}");
    }
}
