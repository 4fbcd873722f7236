//! Which cases of which kernels a command runs, and how it shows them.

use psionic::device::Backend;
use psionic::kernel::Shapes;
use psionic::model::{SIZES, SynthError};

use super::sheet::Output;

#[derive(Debug, clap::Args)]
pub struct CaseArgs {
    /// Kernels, kernel/case, or `all`; `psionic kernel list` shows them
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,

    /// The model's size whose shapes are taken; 1.7b on a GPU and tiny on the
    /// simulator unless given
    #[arg(long, value_parser = SIZES.map(|size| size.name))]
    size: Option<String>,

    /// The seed of the inputs
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// The form of the results
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,

    /// The same as `-o json`
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl CaseArgs {
    /// The shapes on a device of this kind.
    pub fn shapes(&self, backend: Backend) -> Result<Shapes, SynthError> {
        Shapes::of(self.size.as_deref().unwrap_or_else(|| Shapes::usual_size(backend)))
    }

    /// The form of the results.
    pub fn output(&self) -> Output {
        if self.json { Output::Json } else { self.output }
    }
}
