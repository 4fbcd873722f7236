//! The kernel lab: what works on a checkout of this project, where the kernels are written.
//!
//! [`scaffold()`] adds a kernel with all that belongs to one; it changes every file or none. A [`Lab`] puts a kernel
//! through a round of checks, and [`Saves`] says when it is time for another.

mod changes;
mod checkout;
mod child;
mod diagnostics;
mod error;
mod name;
mod resources;
mod round;
mod saves;
mod scaffold;

pub use changes::Changes;
pub use checkout::Checkout;
pub use error::LabError;
pub use resources::{Registers, Resources};
pub use round::{Lab, Outcome, Step, Verdict};
pub use saves::{Saves, Stop};
pub use scaffold::scaffold;
