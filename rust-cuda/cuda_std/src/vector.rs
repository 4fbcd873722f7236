//! Indices of two and three dimensions.

/// Two numbers, with the names that upstream's (`glam`'s) have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UVec2 {
    /// The first.
    pub x: u32,
    /// The second.
    pub y: u32,
}

impl UVec2 {
    /// The two numbers.
    pub const fn to_array(self) -> [u32; 2] {
        [self.x, self.y]
    }
}

/// Three numbers, with the names that upstream's (`glam`'s) have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UVec3 {
    /// The first.
    pub x: u32,
    /// The second.
    pub y: u32,
    /// The third.
    pub z: u32,
}

impl UVec3 {
    /// The three numbers.
    pub const fn to_array(self) -> [u32; 3] {
        [self.x, self.y, self.z]
    }
}
