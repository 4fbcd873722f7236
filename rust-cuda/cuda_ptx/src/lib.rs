//! Reads PTX and reports what a kernel costs, without a GPU.
//!
//! ```
//! let text = ".version 8.0\n.target sm_90\n.visible .entry k(.param .u64 x)\n{\n\tret;\n}\n";
//! let module = cuda_ptx::parse(text)?;
//! assert_eq!(module.functions[0].name, "k");
//! # Ok::<(), cuda_ptx::ParseError>(())
//! ```
//!
//! The text alone gives [basic blocks](mod@cfg), the [class](mod@class) of every instruction, which branches may
//! [diverge](uniform), and [findings](mod@lint). Registers and spills need NVIDIA's assembler, and machine code its
//! disassembler; [`tool`] finds and runs them if they are installed. An unknown instruction is kept and counted; only
//! text that does not have the structure of PTX is refused.

mod analysis;
mod ast;
pub mod budget;
pub mod cfg;
pub mod class;
pub mod diff;
mod error;
mod figures;
pub mod gpu;
pub mod html;
pub mod lines;
pub mod lint;
mod mix;
pub mod occupancy;
mod parse;
pub mod tool;
pub mod uniform;

pub use analysis::{BlockAnalysis, Branch, FunctionAnalysis, ParamInfo, SharedMemory, analyse};
pub use ast::{
    Body, Directive, Function, FunctionKind, Guard, Instruction, Location, Module, Operand, Place, Registers,
    Statement, Table, Variable,
};
pub use error::{ParseError, ParseErrorKind};
pub use figures::{Figure, figures};
pub use mix::{MemoryGroup, Mix};
pub use parse::parse;
