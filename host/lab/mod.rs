//! The kernel lab: tools for writing kernels in a checkout of this project.
//!
//! [`scaffold()`] adds a kernel with everything that belongs to it; it changes all files or none. A [`Lab`] puts a kernel
//! through a round of checks, and [`Saves`] says when the next round is due.

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
