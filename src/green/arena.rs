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
//!                              spare slabs ◀──▶ the allocator, 64 KiB at a time
//! ```
//! So memory that a burst has needed is given back, slab by slab, as its blocks come home. What
//! stays is bounded: some spare slabs, two batches of blocks in each thread, and the holes in slabs
//! of which some block is in use; those are filled before a new slab is made. When a thread ends
//! its magazines go home, too.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};

use parking_lot::Mutex;

use super::overflow;

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

/// Whole slabs of a size that are kept for the next burst: one MiB.
const MOST_SPARE: usize = 16;

/// Where a block came from and goes back to; whoever has the block keeps it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its size, in steps and less one.
    class: u16,
    /// How far it is from the start of its slab, in steps.
    offset: u16,
}

impl Place {
    const GLOBAL: Place = Place { class: u16::MAX, offset: 0 };
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

/// Takes memory back.
///
/// # Safety
/// It came from `allocate`, with this place, for this layout, and nobody uses it any more.
#[inline]
pub(super) unsafe fn free(memory: NonNull<u8>, place: Place, layout: Layout) {
    if place == Place::GLOBAL {
        // SAFETY: the caller's promise.
        unsafe { dealloc(memory.as_ptr(), layout) };
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

/// One thread's free blocks of one size. Shut until it is used the first time, and again when the
/// thread ends: then it is empty and has no room.
struct Magazine {
    first: Cell<*mut Free>,
    /// How many blocks more it can hold.
    room: Cell<usize>,
}

impl Magazine {
    const SHUT: Magazine = Magazine { first: Cell::new(ptr::null_mut()), room: Cell::new(0) };
}

thread_local! {
    // Without a destructor, so that it takes one instruction to reach, at any time.
    static MAGAZINES: [Magazine; CLASSES] = const { [Magazine::SHUT; CLASSES] };
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
    overflow::probe();
    let lasts = will_be_closed();
    let mut depot = DEPOTS[class].lock();
    let block = depot.take(class);
    if lasts {
        for _ in 1..BATCH {
            let mut next = depot.take(class);
            // SAFETY: the block is free, and this thread's.
            unsafe { next.as_mut() }.next = magazine.first.replace(next.as_ptr());
        }
        magazine.room.set(CAPACITY - (BATCH - 1));
    }
    block
}

/// # Safety
/// As [`free`], of a block.
#[inline(never)]
unsafe fn put(block: NonNull<Free>, place: Place) {
    MAGAZINES.with(|magazines| {
        let magazine = &magazines[usize::from(place.class)];
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
    overflow::probe();
    let depot = &DEPOTS[usize::from(place.class)];
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
    /// How many blocks are in use, or in a magazine.
    away: usize,
}

const SLAB: Layout = match Layout::from_size_align(SLAB_SIZE, align_of::<Slab>()) {
    Ok(layout) => layout,
    Err(_) => panic!("the alignment is a power of two"),
};

const fn size_of_class(class: usize) -> usize {
    (class + 1) * STEP
}

/// How many blocks of this class a slab has.
const fn blocks(class: usize) -> usize {
    (SLAB_SIZE - size_of::<Slab>()) / size_of_class(class)
}

/// The slabs of one size that have a block to give. (Those that have none are not listed.)
struct Depot {
    /// Some of their blocks are away.
    open: *mut Slab,
    /// All of their blocks are here. Linked by `next` alone.
    spare: *mut Slab,
    spares: usize,
}

// SAFETY: slabs belong to no thread; they are touched under the depot's lock alone.
unsafe impl Send for Depot {}

static DEPOTS: [Mutex<Depot>; CLASSES] =
    [const { Mutex::new(Depot { open: ptr::null_mut(), spare: ptr::null_mut(), spares: 0 }) };
        CLASSES];

impl Depot {
    /// Gives a block. `class` is the depot's own.
    fn take(&mut self, class: usize) -> NonNull<Free> {
        if self.open.is_null() {
            let slab = self.whole_slab();
            // SAFETY: it is nobody's but ours.
            unsafe { self.link(slab) };
        }
        let slab = self.open;
        // SAFETY: an open slab is alive, and ours while the depot is locked. It has a block: a
        // returned one, or else one that was not cut yet, which then is within its memory.
        unsafe {
            let mut block = (*slab).free;
            if block.is_null() {
                let offset = size_of::<Slab>() + (*slab).cut * size_of_class(class);
                (*slab).cut += 1;
                block = slab.byte_add(offset).cast();
                let place = Place { class: class as u16, offset: (offset / STEP) as u16 };
                block.write(Free { next: ptr::null_mut(), place });
            } else {
                (*slab).free = (*block).next;
            }
            (*slab).away += 1;
            if (*slab).away == blocks(class) {
                self.unlink(slab);
            }
            NonNull::new_unchecked(block)
        }
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
            let Place { class, offset } = (*block).place;
            let slab: *mut Slab = block.byte_sub(usize::from(offset) * STEP).cast();
            (*block).next = (*slab).free;
            (*slab).free = block;
            if (*slab).away == blocks(usize::from(class)) {
                self.link(slab);
            }
            (*slab).away -= 1;
            if (*slab).away == 0 {
                self.unlink(slab);
                self.keep_or_give_back(slab);
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

    /// A slab of which nothing is used.
    fn whole_slab(&mut self) -> *mut Slab {
        let mut slab = self.spare;
        // SAFETY: a spare slab is alive, and ours while the depot is locked; a new one is ours.
        unsafe {
            if slab.is_null() {
                slab = alloc(SLAB).cast();
                if slab.is_null() {
                    handle_alloc_error(SLAB);
                }
            } else {
                self.spare = (*slab).next;
                self.spares -= 1;
            }
            let none = ptr::null_mut();
            slab.write(Slab { next: none, previous: none, free: ptr::null_mut(), cut: 0, away: 0 });
        }
        slab
    }

    /// # Safety
    /// The slab is in no list, and nothing of it is used.
    unsafe fn keep_or_give_back(&mut self, slab: *mut Slab) {
        if self.spares < MOST_SPARE {
            // SAFETY: the slab is alive, and ours.
            unsafe { (*slab).next = self.spare };
            self.spare = slab;
            self.spares += 1;
        } else {
            // SAFETY: it came from `alloc` with this layout.
            unsafe { dealloc(slab.cast(), SLAB) };
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
