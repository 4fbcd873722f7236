//! The macros of cuda_std.
