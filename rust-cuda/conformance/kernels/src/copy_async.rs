//! Copies to shared memory that go on meanwhile.

use cuda_std::prelude::*;
use cuda_std::shared::Slice;

macro_rules! copies {
    ($($name:ident, $ty:ty;)*) => {$(
        /// Two groups of copies: the first is awaited alone, then the second. Writes elements of both, mirrored.
        #[kernel]
        pub unsafe fn $name(from: *const $ty, out: *mut $ty) {
            let (me, all) = (thread::thread_idx_x() as usize, thread::block_dim_x() as usize);
            // SAFETY: the launch asked for two elements for every thread, the input and output have as many.
            unsafe {
                let tile = Slice::<$ty>::dynamic(0, 2 * all);
                copy_async::copy(tile, me, from.add(me));
                copy_async::commit();
                copy_async::copy(tile, all + me, from.add(all + me));
                copy_async::commit();
                copy_async::wait::<1>();
                thread::sync_threads();
                out.add(me).write(tile.get(all - 1 - me));
                copy_async::wait::<0>();
                thread::sync_threads();
                out.add(all + me).write(tile.get(2 * all - 1 - me));
            }
        }
    )*};
}

copies! {
    copies_4, u32;
    copies_8, U32x2;
    copies_16, F32x4;
}

/// A ring of tiles filled by bulk copies, two under way, three times around: phases of both parities.
#[kernel]
pub unsafe fn bulk_copies(from: *const u8, tiles: u32, tile_bytes: u32, out: *mut u32) {
    const STAGES: u32 = 2;
    let (me, all) = (thread::thread_idx_x(), thread::block_dim_x());
    // SAFETY: the launch asked for 128 bytes and two tiles; barriers part a tile's use from its next copy.
    unsafe {
        let barriers = Slice::<u64>::dynamic(0, STAGES as usize);
        let barrier = |tile: u32| copy_async::MBarrier::at(barriers, (tile % STAGES) as usize);
        let place = |tile: u32| {
            Slice::<u8>::dynamic(128 + (tile % STAGES * tile_bytes) as usize, tile_bytes as usize)
        };
        let fetch = |tile: u32| {
            barrier(tile).arrive_and_expect(tile_bytes);
            copy_async::bulk(place(tile), from.add((tile * tile_bytes) as usize), tile_bytes, barrier(tile));
        };
        if me == 0 {
            for stage in 0..STAGES {
                barrier(stage).init(1);
            }
            copy_async::MBarrier::publish();
        }
        thread::sync_threads();
        if me == 0 {
            (0..STAGES.min(tiles)).for_each(fetch);
        }
        let mut sum = 0;
        for tile in 0..tiles {
            barrier(tile).wait(tile / STAGES % 2);
            let words = place(tile).cast::<u32>();
            let mut i = me as usize;
            while i < words.len() {
                sum = dot::dp4a_u32(words.get(i), 0x0101_0101, sum) + tile;
                i += all as usize;
            }
            thread::sync_threads();
            if me == 0 && tile + STAGES < tiles {
                fetch(tile + STAGES);
            }
        }
        crate::put(out, sum);
    }
}

/// All threads but the last arrive at an `mbarrier`, the last waits for them; then the other way.
#[kernel]
pub unsafe fn arrivals(out: *mut u32) {
    let (me, all) = (thread::thread_idx_x(), thread::block_dim_x());
    // SAFETY: a barrier of the block parts initialisation from use; the word is used for nothing else.
    unsafe {
        let word = Slice::from_raw(shared_array![u64; 1], 1);
        let board = Slice::from_raw(shared_array![u32; 1024], 1024);
        let barrier = copy_async::MBarrier::at(word, 0);
        if me == 0 {
            barrier.init(all);
            copy_async::MBarrier::publish();
        }
        thread::sync_threads();
        let mut value = me;
        for round in 0..4 {
            board.set(me as usize, value);
            barrier.arrive();
            barrier.wait(round % 2);
            value = board.get(((me + 1) % all) as usize);
            thread::sync_threads();
        }
        crate::put(out, value);
    }
}
