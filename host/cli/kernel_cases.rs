//! Which cases of which kernels a command runs, and how it shows them.

use psionic::device::{Backend, DeviceError, DeviceInfo};
use psionic::kernel::{Case, Shapes};
use psionic::model::{SIZES, SynthError};

use super::sheet::Output;
use super::terminal::{note, one_line};

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

    /// The cases that a device can run. Of those that it cannot, one that is named is refused; others, which `all` brings
    /// along, are told of and left out.
    pub fn supported(&self, cases: Vec<Case>, info: &DeviceInfo) -> Result<Vec<Case>, DeviceError> {
        let mut supported = Vec::with_capacity(cases.len());
        for case in cases {
            match case.supported(info) {
                Ok(()) => supported.push(case),
                Err(error) if self.names.iter().any(|name| is_named(&case, name)) => return Err(error),
                Err(error) => note(format_args!("{case} is left out: {}", one_line(&error.to_string()))),
            }
        }
        Ok(supported)
    }

    /// The form of the results.
    pub fn output(&self) -> Output {
        if self.json { Output::Json } else { self.output }
    }
}

/// Whether a name is that of a case or of its kernel.
fn is_named(case: &Case, name: &str) -> bool {
    case.kernel == name || case.to_string() == name
}

#[cfg(test)]
mod tests {
    use super::*;
    use psionic::device::{self, BackendChoice};
    use psionic::kernel::{ALL, select};

    fn supported(names: &[&str], ptx: Option<u32>) -> Result<usize, DeviceError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let cases = select(&names, &Shapes::of("tiny").unwrap()).unwrap();
        let info = device::open(BackendChoice::Sim).unwrap().info().clone();
        let args = CaseArgs { names, size: None, seed: 0, output: Output::default(), json: false };
        args.supported(cases, &DeviceInfo { ptx, ..info }).map(|cases| cases.len())
    }

    #[test]
    fn what_a_gpu_cannot_run_is_left_out_of_all_and_refused_by_name() {
        let count = supported(&[ALL], None).unwrap();
        assert_eq!(supported(&[ALL], Some(90)).unwrap(), count);
        assert_eq!(supported(&[ALL], Some(80)).unwrap(), count - 2);
        assert_eq!(supported(&["products/head"], Some(90)).unwrap(), 1);
        for names in [&["products"][..], &["products/head"], &[ALL, "products"], &["swiglu", "products/head"]]
        {
            let refused = supported(names, Some(80));
            let Err(DeviceError::OldCode { kernel: "products", found: 80, required: 90 }) = refused else {
                panic!("{names:?}: {refused:?}")
            };
        }
    }
}
