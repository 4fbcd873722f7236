//! Numbers for the lines of source that access memory.

use std::collections::HashMap;
use std::panic::Location;

use super::report::Line;

/// The lines that were met, each with its number.
#[derive(Default)]
pub(super) struct Sites {
    lines: Vec<Line>,
    numbers: HashMap<Line, u32>,
    /// The compiler has one location for most lines, so that most are found by address alone.
    addresses: HashMap<usize, u32>,
}

impl Sites {
    /// The number of a line.
    pub fn number(&mut self, location: &'static Location<'static>) -> u32 {
        let (lines, numbers) = (&mut self.lines, &mut self.numbers);
        *self.addresses.entry(std::ptr::from_ref(location) as usize).or_insert_with(|| {
            let line = Line::new(location);
            *numbers.entry(line).or_insert_with(|| {
                lines.push(line);
                lines.len() as u32 - 1
            })
        })
    }

    /// The line of a number.
    pub fn line(&self, number: u32) -> Line {
        self.lines[number as usize]
    }
}
