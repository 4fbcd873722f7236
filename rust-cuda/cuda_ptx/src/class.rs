//! What kind of thing an instruction does.
use serde::Serialize;

use crate::{Instruction, Operand};

/// What an instruction does, as its costs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Class {
    /// Global memory; addresses without a space go to [`Class::GenericMemory`].
    GlobalMemory,
    /// Shared memory.
    SharedMemory,
    /// Local memory: arrays and spills.
    LocalMemory,
    /// Constant memory.
    ConstantMemory,
    /// Parameters.
    ParameterMemory,
    /// Memory of a space that is found out when it runs.
    GenericMemory,
    /// Textures and surfaces.
    Texture,
    /// Atomic operations and reductions on memory.
    Atomic,
    /// Copies that go on beside the code, and the barriers that tell their end.
    AsyncCopy,
    /// Dot products of four bytes.
    Dp4a,
    /// Fused multiplication and addition of floats.
    Fma,
    /// Other arithmetic of `f32`.
    Float,
    /// Arithmetic of `f16` and `bf16`.
    Half,
    /// Arithmetic of `f64`, fused too.
    Double,
    /// Matrices on tensor cores.
    Mma,
    /// Roots, reciprocals, exponentials, sines.
    Special,
    /// Arithmetic of integers.
    Integer,
    /// Bits: and, shifts, permutations.
    Logic,
    /// Comparisons and selections.
    Compare,
    /// Conversions between types, and between spaces of addresses.
    Convert,
    /// Moves.
    Move,
    /// Branches, calls, ends.
    Control,
    /// Barriers of a block or a cluster.
    Barrier,
    /// Exchanges within a warp.
    Warp,
    /// Fences of memory.
    Fence,
    /// What is left: hints, traps for debuggers, dependent launches.
    Other,
    /// An instruction that is not known here.
    Unknown,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 27] = [
        Self::GlobalMemory,
        Self::SharedMemory,
        Self::LocalMemory,
        Self::ConstantMemory,
        Self::ParameterMemory,
        Self::GenericMemory,
        Self::Texture,
        Self::Atomic,
        Self::AsyncCopy,
        Self::Dp4a,
        Self::Fma,
        Self::Float,
        Self::Half,
        Self::Double,
        Self::Mma,
        Self::Special,
        Self::Integer,
        Self::Logic,
        Self::Compare,
        Self::Convert,
        Self::Move,
        Self::Control,
        Self::Barrier,
        Self::Warp,
        Self::Fence,
        Self::Other,
        Self::Unknown,
    ];

    /// As JSON and budgets call it.
    pub fn key(self) -> &'static str {
        match self {
            Self::GlobalMemory => "global_memory",
            Self::SharedMemory => "shared_memory",
            Self::LocalMemory => "local_memory",
            Self::ConstantMemory => "constant_memory",
            Self::ParameterMemory => "parameter_memory",
            Self::GenericMemory => "generic_memory",
            Self::AsyncCopy => "async_copy",
            other => other.name(),
        }
    }

    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GlobalMemory => "global",
            Self::SharedMemory => "shared",
            Self::LocalMemory => "local",
            Self::ConstantMemory => "constant",
            Self::ParameterMemory => "param",
            Self::GenericMemory => "generic",
            Self::Texture => "texture",
            Self::Atomic => "atomic",
            Self::AsyncCopy => "async copy",
            Self::Dp4a => "dp4a",
            Self::Fma => "fma",
            Self::Float => "float",
            Self::Half => "half",
            Self::Double => "double",
            Self::Mma => "mma",
            Self::Special => "special",
            Self::Integer => "integer",
            Self::Logic => "logic",
            Self::Compare => "compare",
            Self::Convert => "convert",
            Self::Move => "move",
            Self::Control => "control",
            Self::Barrier => "barrier",
            Self::Warp => "warp",
            Self::Fence => "fence",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

/// The memory that an address is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Space {
    /// Not said.
    Generic,
    /// The device's memory.
    Global,
    /// A block's, or that of another block of the cluster.
    Shared,
    /// A thread's own.
    Local,
    /// Read only, of the module.
    Constant,
    /// Parameters.
    Param,
}

/// What is done to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Access {
    /// Read.
    Load,
    /// Written.
    Store,
    /// Read and written in one.
    Atomic,
    /// Copied beside the code; counted as what it reads.
    Copy,
    /// Fetched into a cache.
    Prefetch,
}

/// An access of memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Memory {
    /// Where.
    pub space: Space,
    /// What is done.
    pub access: Access,
    /// The bytes of a thread, 0 where the text does not tell.
    pub bytes: u32,
    /// The bytes of an element.
    pub element: u32,
    /// How it is cached and ordered: `nc.L1::no_allocate`, `relaxed.gpu`; empty where nothing is said.
    pub policy: String,
}

/// The bytes of a type: 4 of `u32`.
pub fn type_bytes(ty: &str) -> Option<u32> {
    Some(match ty {
        "b8" | "u8" | "s8" | "e4m3" | "e5m2" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" | "e4m3x2" | "e5m2x2" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" | "tf32" | "u16x2" | "s16x2" => 4,
        "b64" | "u64" | "s64" | "f64" | "f32x2" | "texref" | "samplerref" | "surfref" => 8,
        "b128" => 16,
        _ => return None,
    })
}

/// The class of an instruction.
pub fn class(instruction: &Instruction<'_>) -> Class {
    let half = || instruction.modifiers().any(|part| matches!(part, "f16" | "f16x2" | "bf16" | "bf16x2"));
    let double = || instruction.has("f64");
    let float = || instruction.modifiers().any(|part| matches!(part, "f32" | "f32x2"));
    let arithmetic = || match () {
        () if double() => Class::Double,
        () if half() => Class::Half,
        () if float() => Class::Float,
        () => Class::Integer,
    };
    match instruction.base() {
        "ld" | "ldu" | "st" | "prefetch" | "prefetchu" | "discard" | "applypriority" => {
            match space(instruction) {
                Space::Generic => Class::GenericMemory,
                Space::Global => Class::GlobalMemory,
                Space::Shared => Class::SharedMemory,
                Space::Local => Class::LocalMemory,
                Space::Constant => Class::ConstantMemory,
                Space::Param => Class::ParameterMemory,
            }
        }
        "ldmatrix" | "stmatrix" => Class::SharedMemory,
        "multimem" => Class::GlobalMemory,
        "tex" | "tld4" | "txq" | "suld" | "sust" | "sured" | "suq" | "istypep" => Class::Texture,
        "atom" | "red" => Class::Atomic,
        "cp" | "mbarrier" | "clusterlaunchcontrol" | "tensormap" => Class::AsyncCopy,
        "dp4a" | "dp2a" => Class::Dp4a,
        "fma" | "mad" if double() => Class::Double,
        "fma" => Class::Fma,
        "mad" if float() => Class::Fma,
        "mad" | "mad24" | "madc" | "sad" | "mul24" | "addc" | "subc" => Class::Integer,
        "mma" | "wmma" | "wgmma" | "tcgen05" => Class::Mma,
        "sqrt" | "rsqrt" | "rcp" | "sin" | "cos" | "lg2" | "ex2" | "tanh" => {
            if double() {
                Class::Double
            } else {
                Class::Special
            }
        }
        // A division of floats is a reciprocal and more.
        "div" if float() => Class::Special,
        "add" | "sub" | "mul" | "div" | "rem" | "neg" | "abs" | "min" | "max" | "copysign" | "testp" => {
            arithmetic()
        }
        "vadd" | "vsub" | "vabsdiff" | "vmin" | "vmax" | "vshl" | "vshr" | "vmad" | "vadd2" | "vsub2"
        | "vavrg2" | "vabsdiff2" | "vmin2" | "vmax2" | "vadd4" | "vsub4" | "vavrg4" | "vabsdiff4"
        | "vmin4" | "vmax4" => Class::Integer,
        "and" | "or" | "xor" | "not" | "cnot" | "lop3" | "shl" | "shr" | "shf" | "prmt" | "bfe" | "bfi"
        | "bfind" | "brev" | "clz" | "popc" | "fns" | "szext" | "bmsk" => Class::Logic,
        "set" | "setp" | "selp" | "slct" | "vset" | "vset2" | "vset4" => Class::Compare,
        "cvt" | "cvta" | "isspacep" | "cvt_pack" | "mapa" | "getctarank" => Class::Convert,
        "mov" | "movmatrix" => Class::Move,
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" => Class::Control,
        "bar" | "barrier" => Class::Barrier,
        "shfl" | "vote" | "match" | "redux" | "elect" | "activemask" => Class::Warp,
        "fence" | "membar" => Class::Fence,
        "nanosleep" | "pmevent" | "griddepcontrol" | "setmaxnreg" | "createpolicy" | "alloca"
        | "stacksave" | "stackrestore" => Class::Other,
        _ => Class::Unknown,
    }
}

/// The space that an opcode names.
pub fn space(instruction: &Instruction<'_>) -> Space {
    // A copy names two spaces, what it writes to first; what it reads is what costs.
    let named = instruction.modifiers().filter_map(|part| {
        Some(match part.split("::").next().unwrap_or_default() {
            "global" => Space::Global,
            "shared" => Space::Shared,
            "local" => Space::Local,
            "const" => Space::Constant,
            "param" => Space::Param,
            _ => return None,
        })
    });
    named.last().unwrap_or(Space::Generic)
}

/// The access of memory that an instruction is, if it is one.
pub fn memory(instruction: &Instruction<'_>) -> Option<Memory> {
    let (access, space) = match instruction.base() {
        "ld" | "ldu" => (Access::Load, space(instruction)),
        "st" => (Access::Store, space(instruction)),
        "multimem" if instruction.has("st") => (Access::Store, Space::Global),
        "multimem" if instruction.has("red") => (Access::Atomic, Space::Global),
        "multimem" => (Access::Load, Space::Global),
        "ldmatrix" => (Access::Load, Space::Shared),
        "stmatrix" => (Access::Store, Space::Shared),
        "atom" | "red" => (Access::Atomic, space(instruction)),
        "cp" if instruction.has("async") && instruction.operands.len() > 1 => {
            (Access::Copy, space(instruction))
        }
        "prefetch" | "prefetchu" => (Access::Prefetch, space(instruction)),
        _ => return None,
    };
    let (element, bytes) = size(instruction, access);
    Some(Memory { space, access, bytes, element, policy: policy(instruction) })
}

/// The bytes of an element and of all.
fn size(instruction: &Instruction<'_>, access: Access) -> (u32, u32) {
    match access {
        Access::Copy => {
            // The bytes come third; a copy in bulk may take them from a register.
            let bytes = instruction.operands.get(2).and_then(Operand::number);
            let bytes = bytes.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(0);
            return (bytes, bytes);
        }
        Access::Prefetch => return (0, 0),
        Access::Load | Access::Store | Access::Atomic => {}
    }
    if matches!(instruction.base(), "ldmatrix" | "stmatrix") {
        // A matrix of 8 x 8 16-bit elements, 4 bytes of it in each thread.
        let count = [("x4", 4), ("x2", 2)].into_iter().find(|(part, _)| instruction.has(part));
        return (4, 4 * count.map_or(1, |(_, count)| count));
    }
    let element = instruction.modifiers().filter_map(type_bytes).last().unwrap_or(0);
    let lanes = [("v2", 2), ("v4", 4), ("v8", 8)].into_iter().find(|(part, _)| instruction.has(part));
    (element, element * lanes.map_or(1, |(_, lanes)| lanes))
}

/// The parts of an opcode that are neither the space, nor the type, nor what is done.
fn policy(instruction: &Instruction<'_>) -> String {
    let parts: Vec<&str> = instruction
        .modifiers()
        .filter(|part| {
            const CACHED: &[&str] = &[
                "ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "volatile", "relaxed", "acquire", "release",
                "acq_rel", "weak", "mmio", "cta", "cluster", "gpu", "sys",
            ];
            CACHED.contains(part) || part.starts_with("L1::") || part.starts_with("L2::")
        })
        .collect();
    parts.join(".")
}

/// How many operands, from the first, an instruction writes.
pub fn results(instruction: &Instruction<'_>) -> usize {
    let has = |part| instruction.has(part);
    let none = match instruction.base() {
        "st" | "red" | "membar" | "fence" | "prefetch" | "prefetchu" | "discard" | "applypriority"
        | "bra" | "brx" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" | "pmevent" | "cp" | "stmatrix"
        | "sust" | "sured" | "griddepcontrol" | "setmaxnreg" | "call" | "tensormap" | "stackrestore" => true,
        "bar" | "barrier" => !has("red"),
        "mbarrier" => ["init", "inval", "expect_tx", "complete_tx"].into_iter().any(has) && !has("arrive"),
        "multimem" => has("st") || has("red"),
        "wmma" => has("store"),
        "wgmma" => !has("mma_async"),
        "tcgen05" => !has("ld"),
        "clusterlaunchcontrol" => has("try_cancel"),
        _ => false,
    };
    let address = matches!(instruction.operands.first(), None | Some(Operand::Address(_) | Operand::List(_)));
    usize::from(!none && !address)
}

/// Whether all threads of a block, or of a warp, have to reach an instruction together.
pub fn is_collective(opcode: &str) -> bool {
    const STARTS: &[&str] = &[
        "shfl.sync",
        "vote.sync",
        "match.",
        "redux.sync",
        "elect.sync",
        "activemask",
        "mma.",
        "wmma.",
        "wgmma.",
        "ldmatrix.",
        "stmatrix.",
        "tcgen05.",
    ];
    is_barrier(opcode) || STARTS.iter().any(|start| opcode.starts_with(start))
}

/// Whether an instruction is a barrier of a block or a cluster.
pub fn is_barrier(opcode: &str) -> bool {
    opcode.starts_with("bar.") || opcode.starts_with("barrier.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classifies instructions.
    fn each<R>(text: &str, look: impl Fn(&Instruction<'_>) -> R) -> Vec<R> {
        let text = format!(".version 8.0\n.target sm_90\n.entry k()\n{{\n{text}\n}}\n");
        let module = crate::parse(&text).unwrap();
        module.functions[0].body.as_ref().unwrap().instructions().map(look).collect()
    }

    #[test]
    fn accesses_have_space_width_and_policy() {
        let found = each(
            "ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1];
             ld.relaxed.gpu.global.u32 %r1, [%rd1];
             st.shared::cluster.v2.f32 [%r1], {%f1, %f2};
             ld.b64 %rd1, [%rd2];
             cp.async.cg.shared.global [%r1], [%rd1], 16;
             ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1, %r2, %r3, %r4}, [%r5];
             atom.acq_rel.gpu.global.add.u32 %r1, [%rd1], 1;
             add.u32 %r1, %r1, 1;",
            |instruction| memory(instruction).map(|m| (m.space, m.access, m.bytes, m.policy)),
        );
        let some = |space, access, bytes, policy: &str| Some((space, access, bytes, policy.to_owned()));
        assert_eq!(
            found,
            [
                some(Space::Global, Access::Load, 16, "nc.L1::no_allocate.L2::128B"),
                some(Space::Global, Access::Load, 4, "relaxed.gpu"),
                some(Space::Shared, Access::Store, 8, ""),
                some(Space::Generic, Access::Load, 8, ""),
                some(Space::Global, Access::Copy, 16, "cg"),
                some(Space::Shared, Access::Load, 16, ""),
                some(Space::Global, Access::Atomic, 4, "acq_rel.gpu"),
                None,
            ]
        );
    }

    #[test]
    fn arithmetic_goes_by_its_type() {
        let found = each(
            "add.f32 %f1, %f1, %f1; add.s32 %r1, %r1, %r1; add.f64 %fd1, %fd1, %fd1; fma.rn.f32 %f1, %f1, %f1, %f1;
             fma.rn.f64 %fd1, %fd1, %fd1, %fd1; mad.lo.s32 %r1, %r1, %r1, %r1; div.rn.f32 %f1, %f1, %f1;
             dp4a.s32.s32 %r1, %r1, %r1, %r1; add.f16x2 %r1, %r1, %r1; frobnicate.b32 %r1;",
            class,
        );
        assert_eq!(
            found,
            [
                Class::Float,
                Class::Integer,
                Class::Double,
                Class::Fma,
                Class::Double,
                Class::Integer,
                Class::Special,
                Class::Dp4a,
                Class::Half,
                Class::Unknown,
            ]
        );
    }

    #[test]
    fn stores_and_barriers_write_no_register() {
        let found = each(
            "st.global.u32 [%rd1], %r1; bar.sync 0; barrier.cta.red.popc.aligned.u32 %r1, 0, %p1; red.global.add.u32 [%rd1], 1;
             mbarrier.arrive.shared.b64 %rd1, [%r1]; mbarrier.arrive.expect_tx.shared.b64 _, [%r1], 4; ld.u32 %r1, [%rd1];
             mbarrier.init.shared.b64 [%r1], 1; call (r), f, (a);",
            results,
        );
        assert_eq!(found, [0, 0, 1, 0, 1, 1, 1, 0, 0]);
    }
}
