//! `c = alpha a b + beta c`, plainly and with tiles in shared memory.

use cuda_std::{address_space, kernel, thread};

/// Each thread computes one element.
#[kernel]
#[allow(improper_ctypes_definitions)]
pub unsafe fn gemm_naive(
    a: &[f32],
    b: &[f32],
    c: *mut f32,
    m: usize,
    n: usize,
    k: usize,
    alpha: f32,
    beta: f32,
) {
    let place = thread::index_2d();
    let (row, column) = (place.y as usize, place.x as usize);
    if row < m && column < n {
        let mut sum = 0.0;
        for i in 0..k {
            sum += a[row * k + i] * b[i * n + column];
        }
        let c = unsafe { &mut *c.add(row * n + column) };
        *c = alpha * sum + beta * *c;
    }
}

/// Each thread computes one element.
#[kernel]
#[allow(improper_ctypes_definitions)]
pub unsafe fn gemm_tiled(
    a: &[f32],
    b: &[f32],
    c: *mut f32,
    m: usize,
    n: usize,
    k: usize,
    alpha: f32,
    beta: f32,
) {
    // Constants and shared memory of a function's own.
    const SIDE: usize = 16;

    #[address_space(shared)]
    static mut LEFT: [f32; SIDE * SIDE] = [0.0; SIDE * SIDE];
    #[address_space(shared)]
    static mut RIGHT: [[f32; SIDE]; SIDE] = [[0.0; SIDE]; SIDE];

    let (x, y) = (thread::thread_idx_x() as usize, thread::thread_idx_y() as usize);
    let row = thread::block_idx_y() as usize * SIDE + y;
    let column = thread::block_idx_x() as usize * SIDE + x;
    let mut sum = 0.0f32;
    for first in (0..k).step_by(SIDE) {
        unsafe {
            LEFT[y * SIDE + x] = if row < m && first + x < k { a[row * k + first + x] } else { 0.0 };
            RIGHT[y][x] = if first + y < k && column < n { b[(first + y) * n + column] } else { 0.0 };
        }
        thread::sync_threads();
        for i in 0..SIDE {
            sum += unsafe { LEFT[y * SIDE + i] * RIGHT[i][x] };
        }
        thread::sync_threads();
    }
    if row < m && column < n {
        let c = unsafe { c.add(row * n + column) };
        unsafe { *c = alpha * sum + beta * *c };
    }
}
