//! The kernel lab: what works on a checkout of this project, where the kernels are written.
//!
//! [`scaffold()`] adds a kernel with all that belongs to one; it changes every file or none.

mod changes;
mod checkout;
mod error;
mod name;
mod scaffold;

pub use changes::Changes;
pub use checkout::Checkout;
pub use error::LabError;
pub use scaffold::scaffold;
