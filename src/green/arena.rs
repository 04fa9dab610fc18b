//! Memory for what is [`Shared`](super::shared::Shared): blocks of a few sizes, used again and
//! again. Nobody else takes any.
//!
//! A job is mostly made by one thread and let go by another, a thousand at a time: the case that
//! general allocators are slowest at. Here each thread has a *magazine* for each size, a short list
//! of free blocks that it takes from and puts back to without a lock. One that runs empty is
//! filled from the *depot* of that size, and one that is full is half emptied into it, many blocks
//! under one lock. The depot returns each block to the *slab* that it was cut from:
//!
//! ```text
//!   a thread that calls        depot of this size          a thread that runs
//!   take ◀── magazine ◀─ 64 ── open slabs ◀──────── 64 ── magazine ◀── put
//!                                │      ▲
//!                    whole again ▼      │ needed
//!       of all sizes:          spare slabs ◀──▶ the allocator, 64 KiB at a time
//! ```
//! So memory that a burst has needed is given back, slab by slab, as its blocks come home. What
//! stays is bounded: 16 MiB of spare slabs, two batches of blocks in each thread, and the holes in
//! slabs of which some block is in use; those are filled before a new slab is made. When a thread
//! ends its magazines go home, too.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::lock::Mutex;
use super::{overflow, page_size};

/// Sizes are multiples of this, and blocks are aligned to it.
const STEP: usize = 16;

/// What is larger comes from the global allocator.
const LARGEST: usize = 512;

const CLASSES: usize = LARGEST / STEP;

/// Blocks that go from a magazine to a depot, or come from it, under one lock.
const BATCH: usize = 64;

/// Blocks that a magazine holds.
const CAPACITY: usize = 2 * BATCH;

const SLAB_SIZE: usize = 64 * 1024;

/// Slabs of which nothing is used that are kept for the next burst: 16 MiB, which serves some
/// 200,000 calls. To give them back and get new ones takes as long as a call does.
const MOST_SPARE: usize = 256;

/// Where a block came from and goes back to; whoever has the block keeps it. In the upper half its
/// class, which is its size, in steps and less one; in the lower half how far it is from the start
/// of its slab, in steps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    const GLOBAL: Place = Place(u32::MAX);

    /// The block begins so many bytes after its slab.
    const fn new(class: usize, offset: usize) -> Place {
        Place(((class << 16) | (offset / STEP)) as u32)
    }

    const fn class(self) -> usize {
        (self.0 >> 16) as usize
    }

    const fn offset(self) -> usize {
        (self.0 & 0xFFFF) as usize * STEP
    }
}

/// Gives memory of this size and alignment. Ends the process if there is none, as `Box` does.
#[inline]
pub(super) fn allocate(layout: Layout) -> (NonNull<u8>, Place) {
    if layout.size() <= LARGEST && layout.align() <= STEP {
        let block = take(layout.size().saturating_sub(1) / STEP);
        // SAFETY: a block that was just taken says where it came from.
        (block.cast(), unsafe { block.read() }.place)
    } else {
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { alloc(layout) });
        (memory.unwrap_or_else(|| handle_alloc_error(layout)), Place::GLOBAL)
    }
}

/// Takes memory back. `layout` is asked for if that is not known from the place.
///
/// # Safety
/// It came from `allocate`, with this place, for this layout, and nobody uses it any more.
#[inline]
pub(super) unsafe fn free(memory: NonNull<u8>, place: Place, layout: impl FnOnce() -> Layout) {
    if place == Place::GLOBAL {
        // SAFETY: the caller's promise.
        unsafe { dealloc(memory.as_ptr(), layout()) };
    } else {
        // SAFETY: the caller's promise; a block is large and aligned enough for a `Free`.
        unsafe { put(memory.cast(), place) };
    }
}

/// What a block holds while nobody uses it.
#[derive(Clone, Copy)]
struct Free {
    next: *mut Free,
    place: Place,
}

const _: () = assert!(size_of::<Free>() <= STEP && align_of::<Free>() <= STEP);

/// One thread's free blocks of one size. It is shut until it is used the first time, and again when
/// the thread ends: then it is empty and has no room.
struct Magazine {
    first: Cell<*mut Free>,
    /// How many blocks more it can hold.
    room: Cell<usize>,
}

impl Magazine {
    const fn shut() -> Magazine {
        Magazine { first: Cell::new(ptr::null_mut()), room: Cell::new(0) }
    }
}

thread_local! {
    // Without a destructor, so that it takes one instruction to reach, at any time.
    static MAGAZINES: [Magazine; CLASSES] = const { [const { Magazine::shut() }; CLASSES] };
    /// Sends the thread's blocks home when it ends.
    static CLOSING: Closing = const { Closing };
}

struct Closing;

impl Drop for Closing {
    fn drop(&mut self) {
        MAGAZINES.with(|magazines| {
            for (magazine, depot) in magazines.iter().zip(&DEPOTS) {
                let mut depot = depot.lock();
                let mut next = magazine.first.replace(ptr::null_mut());
                magazine.room.set(0);
                // SAFETY: what is in a magazine is free, and nobody else's.
                unsafe { depot.put_all(&mut next, CAPACITY) };
            }
        });
    }
}

/// The magazines may be opened: they will be emptied when the thread ends.
fn will_be_closed() -> bool {
    CLOSING.try_with(|_| ()).is_ok()
}

// Not inlined, neither this nor `put`: a caller may be in a coroutine that changes its thread
// (after a timed wait of may's), and must not keep the address of a thread-local meanwhile.
#[inline(never)]
fn take(class: usize) -> NonNull<Free> {
    MAGAZINES.with(|magazines| {
        let magazine = &magazines[class];
        let Some(first) = NonNull::new(magazine.first.get()) else {
            return refill(magazine, class);
        };
        // SAFETY: a block in a magazine is free, and so holds a `Free`.
        magazine.first.set(unsafe { first.read() }.next);
        magazine.room.set(magazine.room.get() + 1);
        first
    })
}

/// Fills an empty magazine, and takes one block.
#[cold]
fn refill(magazine: &Magazine, class: usize) -> NonNull<Free> {
    overflow::probe_for_inner_lock();
    let lasts = will_be_closed();
    let count = if lasts { BATCH } else { 1 };
    let list = DEPOTS[class].lock().take(class, count);
    // SAFETY: the list has at least one block, which is free.
    let rest = unsafe { (*list).next };
    if lasts {
        magazine.first.set(rest);
        magazine.room.set(CAPACITY - (BATCH - 1));
    }
    // SAFETY: as above.
    unsafe { NonNull::new_unchecked(list) }
}

/// # Safety
/// As [`free`], of a block.
#[inline(never)]
unsafe fn put(block: NonNull<Free>, place: Place) {
    MAGAZINES.with(|magazines| {
        let magazine = &magazines[place.class()];
        let room = magazine.room.get();
        if room == 0 {
            make_room(magazine, block, place);
            return;
        }
        magazine.room.set(room - 1);
        // SAFETY: the block is nobody's but ours.
        unsafe { block.write(Free { next: magazine.first.replace(block.as_ptr()), place }) };
    });
}

/// Sends half a full magazine home, or opens one that was shut; puts `block` there, or, if the
/// thread has all but ended, sends that home.
#[cold]
fn make_room(magazine: &Magazine, block: NonNull<Free>, place: Place) {
    overflow::probe_for_inner_lock();
    let depot = &DEPOTS[place.class()];
    let mut first = magazine.first.get();
    // SAFETY: the block is nobody's but ours, as are those in the magazine.
    unsafe {
        block.write(Free { next: ptr::null_mut(), place });
        if !first.is_null() {
            depot.lock().put_all(&mut first, BATCH);
            magazine.room.set(BATCH);
        } else if will_be_closed() {
            magazine.room.set(CAPACITY);
        } else {
            return depot.lock().put(block);
        }
        block.write(Free { next: first, place });
    }
    magazine.first.set(block.as_ptr());
    magazine.room.update(|room| room - 1);
}

/// The start of a slab; its blocks follow.
#[repr(align(64))]
struct Slab {
    next: *mut Slab,
    previous: *mut Slab,
    free: *mut Free,
    /// How many blocks were cut off so far.
    cut: usize,
    /// How many blocks are neither in use nor in a magazine, whether they were cut off or not.
    here: usize,
    all: usize,
}

impl Slab {
    /// # Safety
    /// It is alive, of that class, and nobody else's; and it has a block.
    unsafe fn pop(slab: *mut Slab, class: usize) -> *mut Free {
        // SAFETY: the caller's promise. If no block was returned there is one that was not cut off
        // yet, within the slab's memory.
        unsafe {
            let mut block = (*slab).free;
            if block.is_null() {
                let offset = size_of::<Slab>() + (*slab).cut * size_of_class(class);
                (*slab).cut += 1;
                block = slab.byte_add(offset).cast();
                (*block).place = Place::new(class, offset);
            } else {
                (*slab).free = (*block).next;
            }
            block
        }
    }
}

const SLAB: Layout = match Layout::from_size_align(SLAB_SIZE, align_of::<Slab>()) {
    Ok(layout) => layout,
    Err(_) => panic!("the alignment is a power of two"),
};

const fn size_of_class(class: usize) -> usize {
    (class + 1) * STEP
}

/// The slabs of one size of which some blocks are here and some elsewhere. (Those that have none
/// to give are not listed.)
struct Depot {
    open: *mut Slab,
}

// SAFETY: slabs belong to no thread; they are touched under the depot's lock alone.
unsafe impl Send for Depot {}

static DEPOTS: [Mutex<Depot>; CLASSES] =
    [const { Mutex::new(Depot { open: ptr::null_mut() }) }; CLASSES];

impl Depot {
    /// Gives a list of as many blocks. `class` is the depot's own.
    fn take(&mut self, class: usize, count: usize) -> *mut Free {
        let mut list = ptr::null_mut();
        let mut missing = count;
        while missing > 0 {
            if self.open.is_null() {
                let slab = SPARE.lock().take(class);
                // SAFETY: it is in no list.
                unsafe { self.link(slab) };
            }
            let slab = self.open;
            // SAFETY: an open slab is alive, and ours while the depot is locked.
            unsafe {
                let count = missing.min((*slab).here);
                for _ in 0..count {
                    let block = Slab::pop(slab, class);
                    (*block).next = list;
                    list = block;
                }
                missing -= count;
                (*slab).here -= count;
                if (*slab).here == 0 {
                    self.unlink(slab);
                }
            }
        }
        list
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// It is of this depot's class, and nobody uses it any more.
    unsafe fn put(&mut self, block: NonNull<Free>) {
        let block = block.as_ptr();
        // SAFETY: a free block says where in its slab it is; a slab with a block away is alive,
        // and open if another one is here.
        unsafe {
            let slab: *mut Slab = block.byte_sub((*block).place.offset()).cast();
            (*block).next = (*slab).free;
            (*slab).free = block;
            if (*slab).here == 0 {
                self.link(slab);
            }
            (*slab).here += 1;
            if (*slab).here == (*slab).all {
                self.unlink(slab);
                SPARE.lock().put(slab);
            }
        }
    }

    /// Takes up to `count` blocks of the list that begins at `first` back, and leaves the rest.
    ///
    /// # Safety
    /// As [`put`](Depot::put), for all of them.
    unsafe fn put_all(&mut self, first: &mut *mut Free, count: usize) {
        for _ in 0..count {
            let Some(block) = NonNull::new(*first) else { return };
            // SAFETY: the caller's promise.
            unsafe {
                *first = block.read().next;
                self.put(block);
            }
        }
    }

    /// # Safety
    /// The slab is alive, and in no list.
    unsafe fn link(&mut self, slab: *mut Slab) {
        // SAFETY: the caller's promise; what is listed is alive.
        unsafe {
            (*slab).previous = ptr::null_mut();
            (*slab).next = self.open;
            if let Some(next) = self.open.as_mut() {
                next.previous = slab;
            }
        }
        self.open = slab;
    }

    /// # Safety
    /// The slab is open.
    unsafe fn unlink(&mut self, slab: *mut Slab) {
        // SAFETY: what is listed is alive.
        unsafe {
            let Slab { next, previous, .. } = *slab;
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => self.open = next,
            }
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
        }
    }
}

/// Slabs of which nothing is used, for whichever size needs one next.
struct Spare {
    /// Linked by `next` alone.
    first: *mut Slab,
    count: usize,
}

// SAFETY: as of `Depot`.
unsafe impl Send for Spare {}

/// Locked by who has locked a depot.
static SPARE: Mutex<Spare> = Mutex::new(Spare { first: ptr::null_mut(), count: 0 });

impl Spare {
    /// Gives a slab, to be cut into blocks of this class.
    fn take(&mut self, class: usize) -> *mut Slab {
        let mut slab = self.first;
        // SAFETY: a spare slab is alive, and ours while the spare ones are locked; a new one is
        // ours.
        unsafe {
            if slab.is_null() {
                slab = alloc(SLAB).cast();
                if slab.is_null() {
                    handle_alloc_error(SLAB);
                }
            } else {
                self.first = (*slab).next;
                self.count -= 1;
            }
            let all = (SLAB_SIZE - size_of::<Slab>()) / size_of_class(class);
            let (next, previous, free) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            slab.write(Slab { next, previous, free, cut: 0, here: all, all });
        }
        slab
    }

    /// Keeps a slab, or gives it back.
    ///
    /// # Safety
    /// It is in no list, and nothing of it is used.
    unsafe fn put(&mut self, slab: *mut Slab) {
        if self.count < MOST_SPARE {
            // SAFETY: the slab is alive, and ours.
            unsafe { (*slab).next = self.first };
            self.first = slab;
            self.count += 1;
            return;
        }
        // The allocator may keep it, because some block above it is in use: let at least the
        // system have its pages. (No mapping of its own: those are for the stacks.)
        let (start, page) = (slab as usize, page_size());
        let first = start.next_multiple_of(page);
        let length = (start + SLAB_SIZE) / page * page - first;
        // SAFETY: these pages are within the slab, of which nothing is used any more. It came from
        // `alloc` with this layout.
        unsafe {
            libc::madvise(slab.byte_add(first - start).cast(), length, libc::MADV_DONTNEED);
            dealloc(slab.cast(), SLAB);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::super::shared::Shared;
    use super::*;

    /// Each test has a size of its own, which nothing else in this process has.
    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    fn class(size: usize) -> usize {
        size / STEP - 1
    }

    /// A block, filled with a number to tell whether it was given twice.
    struct Block {
        memory: NonNull<u8>,
        place: Place,
        size: usize,
        number: u8,
    }

    // SAFETY: it is its owner's alone.
    unsafe impl Send for Block {}

    impl Block {
        fn new(size: usize, number: usize) -> Block {
            let (memory, place) = allocate(layout(size));
            let number = number as u8;
            // SAFETY: that is its size.
            unsafe { memory.write_bytes(number, size) };
            Block { memory, place, size, number }
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            let (size, number) = (self.size, self.number);
            // SAFETY: that is its size, it was filled, and it is freed once.
            unsafe {
                let bytes = std::slice::from_raw_parts(self.memory.as_ptr(), size);
                assert!(bytes.iter().all(|byte| *byte == number), "somebody else wrote here");
                free(self.memory, self.place, || layout(size));
            }
        }
    }

    /// How many slabs of this size are partly used.
    fn open_slabs(size: usize) -> usize {
        let depot = DEPOTS[class(size)].lock();
        let mut open = 0;
        let mut slab = depot.open;
        while !slab.is_null() {
            open += 1;
            // SAFETY: what is listed is alive, and the depot is locked.
            slab = unsafe { (*slab).next };
        }
        open
    }

    fn spare_slabs() -> usize {
        SPARE.lock().count
    }

    fn in_a_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
        thread::spawn(f).join().unwrap()
    }

    #[test]
    fn blocks_are_used_again_by_the_same_thread() {
        in_a_thread(|| {
            let addresses = || -> HashSet<_> {
                let blocks: Vec<_> = (0..50).map(|number| Block::new(496, number)).collect();
                blocks.iter().map(|block| block.memory).collect()
            };
            let first = addresses();
            assert_eq!(first.len(), 50);
            assert_eq!(addresses(), first);
        });
    }

    #[test]
    fn what_one_thread_frees_serves_another() {
        in_a_thread(|| {
            let take = || -> Vec<_> { (0..5_000).map(|number| Block::new(480, number)).collect() };
            let blocks = take();
            let first: HashSet<_> = blocks.iter().map(|block| block.memory).collect();
            // Some are kept, so that no slab is whole: the size keeps them all.
            let (kept, sent): (Vec<_>, Vec<_>) =
                blocks.into_iter().enumerate().partition(|(index, _)| index % 50 == 0);
            in_a_thread(move || drop(sent));
            let again = take();
            let new = again.iter().filter(|block| !first.contains(&block.memory)).count();
            // In place of those that are kept, and from slabs that were not cut to the end.
            assert!(new < kept.len() + 200, "{new} of {} blocks are new", again.len());
        });
    }

    #[test]
    fn memory_of_a_burst_is_given_back_once_all_its_blocks_are_home() {
        const SIZE: usize = 464;
        in_a_thread(|| {
            let blocks: Vec<_> = (0..100_000).map(|number| Block::new(SIZE, number)).collect();
            // Every second one in another thread, and in another order.
            let (here, there): (Vec<_>, Vec<_>) =
                blocks.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
            in_a_thread(move || there.into_iter().rev().for_each(drop));
            assert!(open_slabs(SIZE) > MOST_SPARE, "half of the blocks are in use");
            drop(here);
        });
        // Other tests may need spare ones, but less than that.
        let spare = spare_slabs();
        assert!(open_slabs(SIZE) == 0 && (1..=MOST_SPARE).contains(&spare), "{spare} are spare");
    }

    #[test]
    fn a_block_in_use_keeps_its_slab_alone() {
        const SIZE: usize = 448;
        let kept = in_a_thread(|| {
            let mut blocks: Vec<_> = (0..20_000).map(|number| Block::new(SIZE, number)).collect();
            blocks.swap_remove(10_000)
        });
        assert_eq!(open_slabs(SIZE), 1);
        in_a_thread(move || drop(kept));
        assert_eq!(open_slabs(SIZE), 0);
    }

    #[test]
    fn blocks_that_are_freed_or_taken_while_a_thread_ends_are_not_lost() {
        const SIZE: usize = 432;
        /// Lets its block go, and takes and frees others, when the thread ends.
        struct AtTheEnd(Cell<Option<Block>>);
        impl Drop for AtTheEnd {
            fn drop(&mut self) {
                drop(self.0.take());
                let blocks: Vec<_> = (0..300).map(|number| Block::new(SIZE, number)).collect();
                drop(blocks);
            }
        }
        thread_local! {
            static FIRST: AtTheEnd = const { AtTheEnd(Cell::new(None)) };
            static LAST: AtTheEnd = const { AtTheEnd(Cell::new(None)) };
        }
        // Destructors run in some order: one before the magazines are closed, one after.
        in_a_thread(|| {
            FIRST.with(|_| ());
            FIRST.with(|first| first.0.set(Some(Block::new(SIZE, 1))));
            LAST.with(|last| last.0.set(Some(Block::new(SIZE, 2))));
        });
        assert_eq!(open_slabs(SIZE), 0);
    }

    #[test]
    fn large_and_strictly_aligned_memory_is_the_allocators() {
        for layout in [layout(LARGEST + 1), Layout::from_size_align(64, 64).unwrap()] {
            let (memory, place) = allocate(layout);
            assert!(
                place == Place::GLOBAL && (memory.as_ptr() as usize).is_multiple_of(layout.align())
            );
            // SAFETY: it is freed once, by its own layout.
            unsafe { free(memory, place, || layout) };
        }
        let (memory, place) = allocate(layout(LARGEST));
        assert!(place != Place::GLOBAL);
        // SAFETY: as above.
        unsafe { free(memory, place, || layout(LARGEST)) };
    }

    // Tests of `Shared` on this arena; its own file is what the loom models compile, too.

    /// Counts its drops, and is as large and as aligned as `T`.
    struct Counted<T>(&'static AtomicUsize, T);

    impl<T> Drop for Counted<T> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    trait Number: Send + Sync {
        fn number(&self) -> u64;
    }

    impl<T: Copy + Into<u64> + Send + Sync, const N: usize> Number for Counted<[T; N]> {
        fn number(&self) -> u64 {
            self.1[N - 1].into()
        }
    }

    impl Number for Counted<Aligned> {
        fn number(&self) -> u64 {
            assert!((&raw const self.1).is_aligned());
            self.1.0
        }
    }

    #[repr(align(256))]
    struct Aligned(u64);

    fn check<T>(value: T)
    where
        Counted<T>: Number + 'static,
    {
        let drops: &'static AtomicUsize = Box::leak(Box::default());
        let (one, other) = Shared::pair(Counted(drops, value));
        let number = one.number();
        let raw: NonNull<dyn Number> = one.into_raw();
        // SAFETY: the pointer of one owner, used once.
        let one: Shared<dyn Number> = unsafe { Shared::from_raw(raw) };
        let third = one.clone();
        assert_eq!(third.number(), number);
        drop(other);
        thread::spawn(move || drop(third)).join().unwrap();
        assert_eq!((one.number(), drops.load(Ordering::SeqCst)), (number, 0));
        drop(one);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_object_of_any_size_and_alignment_is_dropped_once_by_its_last_owner() {
        check([1_u8]);
        check([7_u64; 5]);
        check([9_u32; 126]);
        check([5_u64; 70]);
        check([3_u8; 100_000]);
        check(Aligned(11));
    }

    #[test]
    fn a_destructor_that_panics_leaks_no_more_than_its_own_memory() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let (one, other) = Shared::pair(Panics);
        drop(one);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(other)));
        assert!(result.is_err());
        check([1_u64; 2]);
    }
}
