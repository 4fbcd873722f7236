//! The kernels as PTX, put into the program by `build.rs`.

include!(concat!(env!("OUT_DIR"), "/ptx.rs"));
