//! Vectors, boxes, strings and maps inside a kernel.

extern crate alloc;

use alloc::collections::BTreeMap;
use cuda_std::prelude::*;

trait Shape {
    fn area(&self) -> u32;
}

struct Square(u32);

struct Rectangle {
    sides: Vec<u32>,
}

impl Shape for Square {
    fn area(&self) -> u32 {
        self.0 * self.0
    }
}

impl Shape for Rectangle {
    fn area(&self) -> u32 {
        self.sides.iter().product()
    }
}

/// Aligned to more than the GPU's `malloc` promises.
#[repr(align(128))]
struct Wide(u32);

/// Each thread builds collections of its own and writes four numbers of them.
#[kernel]
pub unsafe fn collections(out: *mut [u32; 4]) {
    let me = thread::index_1d();
    // Grows: allocates, copies and frees several times.
    let mut numbers = Vec::new();
    for i in 0..me % 20 {
        numbers.push(i * me);
    }
    numbers.reverse();
    let shape: Box<dyn Shape> = if me.is_multiple_of(2) {
        Box::new(Square(me))
    } else {
        Box::new(Rectangle { sides: alloc::vec![me, 3] })
    };
    let counts: BTreeMap<u32, usize> =
        [me % 7, me % 5, me % 3].into_iter().fold(BTreeMap::new(), |mut map, key| {
            *map.entry(key).or_default() += 1;
            map
        });
    let name = format!("thread {me} of {:?}", Some(thread::block_dim_x()));
    let wide = Box::new(Wide(me));
    let aligned = (core::ptr::from_ref(&*wide) as usize).is_multiple_of(128);
    let text = name.bytes().map(u32::from).sum::<u32>() + name.len() as u32;
    let found = [
        numbers.first().copied().unwrap_or(7) + numbers.iter().sum::<u32>(),
        shape.area(),
        counts.len() as u32 + wide.0 * u32::from(aligned),
        text,
    ];
    unsafe { out.add(me as usize).write(found) };
}
