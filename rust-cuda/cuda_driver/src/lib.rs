//! The CUDA driver, found at run time.
//!
//! `cust` 0.3.2 expects a program to be linked with the driver's library, so it neither builds nor starts where
//! there is no CUDA. This crate defines the functions that `cust` calls and forwards each, when it is first
//! called, to `libcuda.so.1`: a program with both crates builds, links and starts anywhere, and
//! [`status`] says whether there is a driver. A function that an older driver lacks fails only the call that
//! needs it.
//!
//! `cust`'s build scripts look for a CUDA installation unless `DOCS_RS` is set in the environment, so set it, in
//! `.cargo/config.toml` for instance. A crate that uses `cust` must also mention this crate somewhere
//! (`use cuda_driver as _;` is enough), since rustc does not link a crate that no code names.
//!
//! In addition there are wrappers, in `cust`'s style, for what it lacks:
//!
//! - [`launch`]: launch attributes, cooperative launches and programmatic dependent launch;
//! - [`module`] and [`function`]: GPU code whose compile errors carry the compiler's log, kernels that keep
//!   their module loaded, their attributes and occupancy;
//! - [`cubin`] and [`cache`]: machine code that the driver compiled from PTX, and a folder that caches it;
//! - [`graph`]: stream capture, and the launch of a captured graph;
//! - [`pinned`]: page-locked host memory that the device can address;
//! - [`sys`]: the raw declarations that `cust::sys` lacks.
//!
//! ```
//! use cuda_driver::{DriverError, DriverVersion, status};
//!
//! match status(DriverVersion::CUDA_12_0) {
//!     Ok(version) => println!("the driver supports CUDA {version}"),
//!     Err(DriverError::NoDriver { .. }) => println!("no driver here: use the simulator"),
//!     Err(error) => println!("{error}"),
//! }
//! ```

pub mod cache;
pub mod cubin;
mod error;
pub mod function;
pub mod graph;
mod jit;
pub mod launch;
mod loader;
pub mod module;
pub mod pinned;
mod status;
mod symbols;
pub mod sys;

pub use error::{DriverError, DriverVersion};
pub use status::{device_attribute, status};
