//! Printing.

use cuda_std::prelude::*;
use cuda_std::{assert_eq, assert_ne};

/// Asserts as they are without an import: `core`'s, beside a glob import of the prelude.
pub mod core_asserts {
    use cuda_std::prelude::*;

    /// Ends the launch if the two are not equal.
    #[kernel]
    pub unsafe fn must_equal_too(left: u32, right: u32) {
        assert_eq!(left, right);
        assert_ne!(left + 1, right, "{left} is {right}");
    }
}

/// Every thread prints a line.
#[kernel]
pub unsafe fn hello(numbers: &[f32]) {
    let (block, me) = (thread::block_idx_x(), thread::thread_idx_x());
    let place = thread::index() as usize;
    println!("hello from thread {me:>2} of block {block}: {:?} and {:#x}", numbers[place], place * 16);
}

/// One line of more than any buffer's length, of pieces and braces.
#[kernel]
pub unsafe fn long_line(length: u32) {
    if thread::first() {
        print!("{{");
        print!("{:>1$}", "end", length as usize);
        println!("}}");
        println!();
    }
}

/// Ends the launch if the two are not equal.
#[kernel]
pub unsafe fn must_equal(left: u32, right: u32) {
    assert_eq!(left, right);
    assert_ne!(left + 1, right, "{left} is {right}");
}
