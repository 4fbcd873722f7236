//! Text from a kernel: `print!` and `println!`, and asserts that say what was not equal.
//!
//! On a GPU the driver collects what the threads print, and writes it to the program's standard output when the host
//! waits for the kernel; it keeps the last mebibyte. Pieces of up to 255 bytes arrive whole, the order of different
//! threads is not defined. On the simulator `print!`, `println!`, `assert_eq!` and `assert_ne!` are those of `std`.
//!
//! Printing costs a kernel local memory and registers: it is for looking for a mistake, not for results.

#[cfg(target_arch = "nvptx64")]
pub use gpu::{failed, write};

#[cfg(target_arch = "nvptx64")]
mod gpu {
    use core::ffi::{CStr, c_char, c_void};
    use core::fmt::{self, Write};
    use core::panic::Location;

    use crate::thread;

    unsafe extern "C" {
        // The driver defines these for every module.
        fn vprintf(format: *const c_char, arguments: *const c_void) -> i32;
        fn __assertfail(
            message: *const c_char,
            file: *const c_char,
            line: u32,
            function: *const c_char,
            char_size: usize,
        ) -> !;
    }

    /// Bytes that are printed at once, with the zero at the end. They are local memory of every thread.
    const ROOM: usize = 256;

    struct Piece {
        bytes: [u8; ROOM],
        len: usize,
    }

    impl Piece {
        fn print(&mut self) {
            self.bytes[self.len] = 0;
            // As C would pass them: one argument, a pointer.
            let arguments = [self.bytes.as_ptr()];
            // SAFETY: the format takes one text, which ends with a zero and which the driver copies.
            unsafe { vprintf(c"%s".as_ptr(), arguments.as_ptr().cast()) };
            self.len = 0;
        }
    }

    impl Write for Piece {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // A zero would end the text.
            for byte in text.bytes().filter(|byte| *byte != 0) {
                if self.len == ROOM - 1 {
                    self.print();
                }
                self.bytes[self.len] = byte;
                self.len += 1;
            }
            Ok(())
        }
    }

    /// What `print!` calls.
    #[doc(hidden)]
    #[inline(never)]
    pub fn write(arguments: fmt::Arguments<'_>) {
        let mut piece = Piece { bytes: [0; ROOM], len: 0 };
        // An error is that of a value's own `Display`: what it has written so far is printed.
        let _ = piece.write_fmt(arguments);
        piece.print();
    }

    /// What a failed assert calls: prints the values, and ends the launch with an error.
    #[doc(hidden)]
    #[track_caller]
    #[cold]
    #[inline(never)]
    pub fn failed(
        message: &'static CStr,
        file: &'static CStr,
        left: &dyn fmt::Debug,
        right: &dyn fmt::Debug,
    ) -> ! {
        let line = Location::caller().line();
        let (b, t) = (thread::block_idx(), thread::thread_idx());
        write(format_args!(
            "block ({}, {}, {}), thread ({}, {}, {}):\n  left: {left:?}\n right: {right:?}\n",
            b.x, b.y, b.z, t.x, t.y, t.z
        ));
        // SAFETY: texts that end with a zero and live for ever.
        unsafe { __assertfail(message.as_ptr(), file.as_ptr(), line, c"kernel".as_ptr(), 1) }
    }

    /// Prints, with the syntax of `std`'s macro of the same name.
    #[macro_export]
    macro_rules! print {
        ($($arguments:tt)*) => {
            $crate::io::write(::core::format_args!($($arguments)*))
        };
    }

    /// Prints a line, with the syntax of `std`'s macro of the same name.
    #[macro_export]
    macro_rules! println {
        () => {
            $crate::io::write(::core::format_args!("\n"))
        };
        // One piece, which no other thread's text parts from its end.
        ($($arguments:tt)*) => {
            $crate::io::write(::core::format_args!("{}\n", ::core::format_args!($($arguments)*)))
        };
    }

    /// A text with a zero at its end, as C takes it.
    #[doc(hidden)]
    #[macro_export]
    macro_rules! __c_text {
        ($text:expr) => {
            const {
                match ::core::ffi::CStr::from_bytes_until_nul(::core::concat!($text, "\0").as_bytes()) {
                    Ok(text) => text,
                    Err(_) => ::core::panic!(),
                }
            }
        };
    }

    /// Ends the launch with an error when two values are not equal, and prints them.
    #[macro_export]
    macro_rules! assert_eq {
        ($left:expr, $right:expr $(, $($message:tt)*)?) => {
            match (&$left, &$right) {
                (left, right) => {
                    if !(*left == *right) {
                        $crate::io::failed(
                            $crate::__c_text!(::core::stringify!($left == $right)),
                            $crate::__c_text!(::core::file!()),
                            left,
                            right,
                        )
                    }
                }
            }
        };
    }

    /// Ends the launch with an error when two values are equal, and prints them.
    #[macro_export]
    macro_rules! assert_ne {
        ($left:expr, $right:expr $(, $($message:tt)*)?) => {
            match (&$left, &$right) {
                (left, right) => {
                    if *left == *right {
                        $crate::io::failed(
                            $crate::__c_text!(::core::stringify!($left != $right)),
                            $crate::__c_text!(::core::file!()),
                            left,
                            right,
                        )
                    }
                }
            }
        };
    }
}
