//! Products of small matrices by a whole warp: `d = a b + c`.
//!
//! `f16` fragments are missing: LLVM takes them as vectors, which rustc does not pass to an intrinsic, and inline
//! assembly would not be convergent.
//!
//! The lanes hold the matrices in pieces ("fragments"). With `g = lane / 4` and `t = lane % 4` (PTX ISA, "Matrix
//! fragments for mma.m16n8k16 and m16n8k32"):
//!
//! | | `bf16`, k = 16 | 8-bit elements, k = 32 |
//! |---|---|---|
//! | `a[0]`, `a[1]` | rows g, g + 8; columns 2t, 2t + 1 | rows g, g + 8; columns 4t to 4t + 3 |
//! | `a[2]`, `a[3]` | the same rows; columns 8 further | the same rows; columns 16 further |
//! | `b[0]`, `b[1]` | rows 2t, 2t + 1 and 8 further; column g | rows 4t to 4t + 3 and 16 further; column g |
//! | `c`, `d` | rows g, g, g + 8, g + 8; columns 2t, 2t + 1, 2t, 2t + 1 | the same |

/// The simulator's form: every lane computes its four elements from all lanes' fragments.
#[cfg(not(target_arch = "nvptx64"))]
#[track_caller]
fn product<T: Copy, const K: usize>(
    name: &'static str,
    a: [u32; 4],
    b: [u32; 2],
    c: [T; 4],
    fma: impl Fn(T, u32, u32, usize) -> T,
) -> [T; 4] {
    let all = cuda_sim::device::warp_gather(name, [a[0], a[1], a[2], a[3], b[0], b[1], 0, 0]);
    let lane = crate::warp::lane_id() as usize;
    let per = K / 8; // elements in a register
    let (mut d, t) = (c, lane % 4);
    for (i, element) in d.iter_mut().enumerate() {
        let (row, column) = (lane / 4 + 8 * (i / 2), 2 * t + i % 2);
        for k in 0..K {
            let (half, within) = (k / (K / 2), k % (K / 2));
            let (from, part) = (within / per, within % per);
            let left = all[(row % 8) * 4 + from][row / 8 + 2 * half];
            let right = all[column * 4 + from][4 + half];
            *element = fma(*element, left, right, part);
        }
    }
    d
}

/// The same for bytes, four at a time; a word of zeros, which is what a matrix of few columns is padded with, is skipped.
#[cfg(not(target_arch = "nvptx64"))]
#[track_caller]
fn product_of_bytes(
    name: &'static str,
    a: [u32; 4],
    b: [u32; 2],
    c: [i32; 4],
    dot: impl Fn(u32, u32, i32) -> i32,
) -> [i32; 4] {
    let all = cuda_sim::device::warp_gather(name, [a[0], a[1], a[2], a[3], b[0], b[1], 0, 0]);
    let lane = crate::warp::lane_id() as usize;
    let (mut d, t) = (c, lane % 4);
    for column in 0..2 {
        for word in 0..8 {
            let (half, from) = (word / 4, word % 4);
            let right = all[(2 * t + column) * 4 + from][4 + half];
            if right != 0 {
                let left = &all[lane / 4 * 4 + from];
                d[column] = dot(left[2 * half], right, d[column]);
                d[2 + column] = dot(left[2 * half + 1], right, d[2 + column]);
            }
        }
    }
    d
}

macro_rules! products_of_bytes {
    ($($name:ident, $label:literal, $intrinsic:ident, $dot:ident, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[track_caller]
        #[inline(always)]
        pub fn $name(a: [u32; 4], b: [u32; 2], c: [i32; 4]) -> [i32; 4] {
            #[cfg(target_arch = "nvptx64")]
            {
                // SAFETY: the whole warp calls it; arithmetic on registers.
                let d = unsafe {
                    crate::nvptx::$intrinsic(a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], c[2], c[3])
                };
                [d.0, d.1, d.2, d.3]
            }
            #[cfg(not(target_arch = "nvptx64"))]
            product_of_bytes($label, a, b, c, crate::dot::$dot)
        }
    )*};
}

products_of_bytes! {
    m16n8k32_i8, "mma m16n8k32 i8", mma_m16n8k32_s8, dp4a_i32, "16×32 signed bytes by 32×8 signed bytes, sums in 32 bits.";
    m16n8k32_u8_i8, "mma m16n8k32 u8 i8", mma_m16n8k32_u8_s8, dp4a_u32_i32, "16×32 unsigned bytes by 32×8 signed bytes, sums in 32 bits.";
}

/// 16×16 `bf16` by 16×8 `bf16`, sums in `f32`. The GPU does not say in which order it adds.
#[track_caller]
#[inline(always)]
pub fn m16n8k16_bf16(a: [u32; 4], b: [u32; 2], c: [f32; 4]) -> [f32; 4] {
    #[cfg(target_arch = "nvptx64")]
    {
        // SAFETY: as above.
        let d = unsafe {
            crate::nvptx::mma_m16n8k16_bf16(a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], c[2], c[3])
        };
        [d.0, d.1, d.2, d.3]
    }
    #[cfg(not(target_arch = "nvptx64"))]
    product::<f32, 16>("mma m16n8k16 bf16", a, b, c, |d, x, y, part| {
        let value =
            |w: u32| crate::half::bf16_to_f32(crate::half::bf16::from_bits((w >> (16 * part)) as u16));
        d + value(x) * value(y)
    })
}
