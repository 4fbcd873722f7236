//! LLVM's intrinsics for NVPTX: the convergent ones, which LLVM must know as such. And what a program needs to link.

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: ends the launch with an error.
    unsafe { trap() }
}

#[allow(improper_ctypes)]
unsafe extern "unadjusted" {
    #[link_name = "llvm.trap"]
    pub fn trap() -> !;

    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.all"]
    pub fn barrier_all(id: u32);
    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.count"]
    pub fn barrier_count(id: u32, threads: u32);
    #[link_name = "llvm.nvvm.barrier.cta.arrive.aligned.count"]
    pub fn barrier_arrive_count(id: u32, threads: u32);
    #[link_name = "llvm.nvvm.barrier.cta.red.popc.aligned.all"]
    pub fn barrier_popc(id: u32, predicate: bool) -> i32;

    #[link_name = "llvm.nvvm.activemask"]
    pub fn activemask() -> u32;
    #[link_name = "llvm.nvvm.bar.warp.sync"]
    pub fn warp_sync(mask: u32);
    #[link_name = "llvm.nvvm.shfl.sync.idx.i32"]
    pub fn shuffle_idx(mask: u32, value: u32, lane: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.up.i32"]
    pub fn shuffle_up(mask: u32, value: u32, delta: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.down.i32"]
    pub fn shuffle_down(mask: u32, value: u32, delta: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.bfly.i32"]
    pub fn shuffle_xor(mask: u32, value: u32, xor: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.vote.all.sync"]
    pub fn vote_all(mask: u32, predicate: bool) -> bool;
    #[link_name = "llvm.nvvm.vote.any.sync"]
    pub fn vote_any(mask: u32, predicate: bool) -> bool;
    #[link_name = "llvm.nvvm.vote.ballot.sync"]
    pub fn vote_ballot(mask: u32, predicate: bool) -> u32;
    #[link_name = "llvm.nvvm.match.any.sync.i32"]
    pub fn match_any(mask: u32, value: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.add"]
    pub fn redux_add(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.min"]
    pub fn redux_min(value: i32, mask: u32) -> i32;
    #[link_name = "llvm.nvvm.redux.sync.max"]
    pub fn redux_max(value: i32, mask: u32) -> i32;
    #[link_name = "llvm.nvvm.redux.sync.umin"]
    pub fn redux_umin(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.umax"]
    pub fn redux_umax(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.and"]
    pub fn redux_and(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.or"]
    pub fn redux_or(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.xor"]
    pub fn redux_xor(value: u32, mask: u32) -> u32;

    /// `row` is an address in shared memory, not a generic one: `cuda_builder` says so in the PTX.
    #[link_name = "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p0"]
    pub fn ldmatrix_x4(row: *const u8) -> Quad<u32>;
    /// As for `ldmatrix_x4`.
    #[link_name = "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16.p0"]
    pub fn ldmatrix_x4_trans(row: *const u8) -> Quad<u32>;
}

macro_rules! products {
    ($($(#[$about:meta])* $name:ident, $element:ty, $link:literal;)*) => {
        unsafe extern "unadjusted" {$(
            $(#[$about])*
            #[link_name = $link]
            pub fn $name(
                a0: u32, a1: u32, a2: u32, a3: u32,
                b0: u32, b1: u32,
                c0: $element, c1: $element, c2: $element, c3: $element,
            ) -> Quad<$element>;
        )*}
    };
}

products! {
    mma_m16n8k32_s8, i32, "llvm.nvvm.mma.m16n8k32.row.col.s8";
    mma_m16n8k32_u8_s8, i32, "llvm.nvvm.mma.m16n8k32.row.col.u8.s8";
    mma_m16n8k16_bf16, f32, "llvm.nvvm.mma.m16n8k16.row.col.bf16";
    /// 16×16 `f16` by 16×8 `f16`. LLVM's intrinsic for that takes vectors of `f16`, which rustc passes to no function of this
    /// target; this one is of the same registers, and `cuda_builder` makes it the other in the PTX.
    mma_m16n8k16_f16, f32, "llvm.nvvm.mma.m16n8k8.row.col.tf32";
}

/// What an `mma` or an `ldmatrix` gives a lane.
#[repr(C)]
pub struct Quad<T>(pub T, pub T, pub T, pub T);
