//! Stack overflow: the green thread ends, its task's result resolves, the process lives on.
//!
//! A green thread that runs into the guard below its stack gets SIGSEGV. generator's handler then
//! leaves the coroutine for good, without unwinding. Two things are missing, and the handler here,
//! which runs first, adds them. It tells the hub, which resolves what the green thread ran. And it
//! lifts the guard and restores the mark in it: when may puts the coroutine away it takes a missing
//! mark for a stack that was too small, and ends the process.
//!
//! ```text
//!   stack_top ┌──────────────┐
//!             │ frames       │
//!             │   …          │  ◀─ probe(): an overflow here, in the last RESERVE bytes, is
//!             │   …          │     brought about before the library takes a lock
//!   bottom    ├──────────────┤
//!             │ guard        │  ◀─ SIGSEGV
//!             │ (the mark)   │
//!             ├──────────────┤
//!             │ guard page,  │  ◀─ SIGSEGV
//!             │ generator's  │
//!             └──────────────┘
//! ```

use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::guard;
use super::hub::Hub;
use super::lock::Mutex;
use super::thread::Green;

/// What the library may need of a stack while it holds a lock.
const RESERVE: usize = if cfg!(debug_assertions) { 32 * 1024 } else { 16 * 1024 };

/// What must be left to run one job on top of another.
const ROOM_FOR_ONE_MORE: usize = 96 * 1024;

/// What a panic may need of a stack before it unwinds: the program's hook, which may print a
/// backtrace.
const ROOM_FOR_A_HOOK: usize = 64 * 1024;

thread_local! {
    /// The green thread that runs on this worker, if we made it: null or alive. A plain word
    /// without a destructor, so that the signal handler may read it.
    static ACTIVE: Cell<*const Green> = const { Cell::new(ptr::null()) };
}

/// All green threads that we made, for the signal handler to find one by its stack where ACTIVE is
/// not the one that runs: after a wait of may's own.
static REGISTRY: OnceLock<Registry> = OnceLock::new();

struct Registry {
    /// Those that were never used were never touched: they take no memory.
    entries: Box<[Entry]>,
    free: Mutex<Free>,
}

/// One green thread, and the lowest address of its stack; zero if the entry is free.
struct Entry {
    stack_bottom: AtomicUsize,
    green: AtomicPtr<Green>,
}

#[derive(Default)]
struct Free {
    used_before: Vec<usize>,
    /// From this one on no entry was ever used.
    never_used: usize,
}

/// Makes room for `most` green threads and the library's own few.
pub(super) fn make_registry(most: usize) {
    REGISTRY.get_or_init(|| {
        let entries = Box::<[Entry]>::new_zeroed_slice(most + 1_000);
        // SAFETY: zeros are a free entry: an address of zero and a null pointer.
        let entries = unsafe { entries.assume_init() };
        Registry { entries, free: Mutex::default() }
    });
}

/// Enters `green`, if we made it; it takes itself out again by dropping what this gives.
pub(super) fn register(green: &Arc<Green>) -> Option<Registered> {
    if green.stack_bottom == 0 {
        return None;
    }
    let registry = REGISTRY.get()?;
    let mut free = registry.free.lock();
    let index = free.used_before.pop().unwrap_or(free.never_used);
    let entry = registry.entries.get(index)?;
    free.never_used = free.never_used.max(index + 1);
    drop(free);
    entry.green.store(Arc::as_ptr(green).cast_mut(), Ordering::Relaxed);
    // ORDERING: Release, pairs with the Acquire in `owner_of_guard`: who sees the stack sees whose.
    entry.stack_bottom.store(green.stack_bottom, Ordering::Release);
    green.registered.store(true, Ordering::Relaxed);
    Some(Registered(index))
}

/// A green thread's entry, until its coroutine's locals are dropped, which is after its end.
pub(super) struct Registered(usize);

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(registry) = REGISTRY.get() {
            let mut free = registry.free.lock();
            if let Some(entry) = registry.entries.get(self.0) {
                // ORDERING: Relaxed: nobody runs on that stack any more, so nobody looks for it.
                entry.stack_bottom.store(0, Ordering::Relaxed);
                let this = entry.green.load(Ordering::Relaxed);
                // SAFETY: its coroutine's locals, of which this is one, hold it until this is done.
                unsafe { &(*this).hub.active }.retire(this);
            }
            free.used_before.push(self.0);
        }
    }
}

/// The green thread that runs and whose guard this address is in. For the signal handler: it
/// takes no lock and no memory.
fn owner_of_guard(address: usize) -> Option<&'static Green> {
    let is_below = |stack_bottom: usize| {
        (1..=guard::SIZE + super::page_size()).contains(&stack_bottom.wrapping_sub(address))
    };
    // SAFETY: ACTIVE is null or alive (see `here`).
    let active = unsafe { ACTIVE.get().as_ref() };
    if let Some(active) = active.filter(|active| is_below(active.stack_bottom)) {
        return Some(active);
    }
    let mut entries = REGISTRY.get()?.entries.iter();
    // ORDERING: Acquire, pairs with the Release in `register`.
    let entry = entries.find(|entry| is_below(entry.stack_bottom.load(Ordering::Acquire)))?;
    // SAFETY: only the entry of this very stack is followed, and whoever faults in its guard runs
    // on it right now: so the green thread is alive. (Neither stacks nor guards overlap.)
    unsafe { entry.green.load(Ordering::Relaxed).as_ref() }
}

/// The handler that was there before: generator's.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Says that `green` runs on this worker from now on. Called when it starts and whenever it was
/// resumed: others have run meanwhile.
#[inline]
pub(super) fn enter(green: &Green) {
    // ORDERING: Relaxed, the flag is its own green thread's.
    if green.registered.load(Ordering::Relaxed) {
        ACTIVE.set(green);
        green.hub.active.set(green);
    } else {
        enter_unregistered(green);
    }
}

/// One that we did not make; or the registry had no room for it.
#[cold]
fn enter_unregistered(green: &Green) {
    ACTIVE.set(if green.stack_bottom == 0 { ptr::null() } else { green });
    green.hub.active.clear();
}

/// The green thread that runs on this worker, which is `hub`'s, lets others run.
#[inline]
pub(super) fn pause(hub: &Hub) {
    hub.active.clear();
}

/// The green thread that runs on the worker of `hub`, if we made it. For other threads.
pub(super) fn active_of(hub: &Hub) -> Option<Arc<Green>> {
    let registry = REGISTRY.get()?;
    let _free = registry.free.lock();
    // SAFETY: this is the lock. Only those are set that are in the registry, and what holds one
    // there is dropped only after its entry, which retires it. (One that overflowed is never
    // dropped.)
    let green = ptr::from_ref(unsafe { hub.active.look() }?);
    // SAFETY: it is alive, and inside an Arc, as all are.
    unsafe {
        Arc::increment_strong_count(green);
        Some(Arc::from_raw(green))
    }
}

/// The running green thread is about to end.
pub(super) fn leave() {
    ACTIVE.set(ptr::null());
}

/// The green thread whose stack the caller runs on, and how many bytes of it are left; None if
/// that can't be told at a glance.
#[inline]
fn here() -> Option<(&'static Green, usize)> {
    let green = ACTIVE.get();
    if green.is_null() {
        return None;
    }
    // SAFETY: ACTIVE is null or a green thread that is alive: it is set by the running one, and
    // cleared by `leave` before that ends. The reference goes no further than the caller's frame.
    let green = unsafe { &*green };
    let frame = 0u8;
    // After a wait of may's own the caller may run on another stack than the active one's.
    let left = (&raw const frame as usize).wrapping_sub(green.stack_bottom);
    (left < green.stack_size).then_some((green, left))
}

/// The calling green thread, if it is one that we made and that can be told at a glance. Not
/// counted, so only what runs in it may use this.
#[inline]
pub(super) fn active() -> Option<ManuallyDrop<Arc<Green>>> {
    here().map(|(green, _)| uncounted(green))
}

/// As `active`; and as `probe`.
#[inline]
pub(super) fn probe_active() -> Option<ManuallyDrop<Arc<Green>>> {
    let (green, left) = here()?;
    probe_here(RESERVE, green, left);
    Some(uncounted(green))
}

fn uncounted(green: &'static Green) -> ManuallyDrop<Arc<Green>> {
    // SAFETY: it is alive (see `here`) until the caller's green thread ends, and is inside an Arc
    // as all of them are; this one is not dropped, as it was not counted.
    ManuallyDrop::new(unsafe { Arc::from_raw(green) })
}

/// Overflows now if the library might overflow while it holds a lock, which then would stay
/// locked for good.
#[inline]
pub(crate) fn probe() {
    probe_for(RESERVE);
}

/// As `probe`, for a lock that may be taken while another is held: whoever probed for that one
/// passes here, too.
#[inline]
pub(crate) fn probe_for_inner_lock() {
    probe_for(RESERVE / 2);
}

/// As [`probe`], for a caller who will call it once more, or wait, with something listed that an
/// overflow must not leave behind; and who moves values of `bytes` under a lock.
#[inline]
pub(crate) fn probe_to_wait(bytes: usize) {
    /// For the frames between this probe and the ones that follow, deeper in the stack.
    const DEEPER: usize = 4 * 1024;
    /// How often a build may copy a value on its way: an unoptimised one does so at every turn.
    const COPIES: usize = if cfg!(debug_assertions) { 12 } else { 8 };
    let more = bytes.saturating_mul(COPIES).saturating_add(DEEPER);
    probe_for(RESERVE.saturating_add(more));
}

#[inline]
fn probe_for(reserve: usize) {
    if let Some((green, left)) = here() {
        probe_here(reserve, green, left);
    }
}

#[inline]
fn probe_here(reserve: usize, green: &Green, left: usize) {
    if left < reserve {
        // generator's page, which is there even if the kernel refused a larger guard.
        let guarded = green.stack_bottom - guard::SIZE - 1;
        // SAFETY: the read does not return: the handler ends this green thread.
        unsafe { ptr::read_volatile(guarded as *const u8) };
    }
}

/// As [`probe`], for `green`, the calling green thread, also if we don't know its stack.
pub(super) fn probe_any(green: &Green) {
    probe();
    if green.stack_bottom == 0 {
        touch_reserve();
    }
}

/// Overflows now if less than RESERVE is left.
#[inline(never)]
fn touch_reserve() {
    // Pages are touched from the top, one by one, so that the guard is not jumped over.
    std::hint::black_box([0u8; RESERVE]);
}

/// The calling green thread has enough of its stack left to run another job on it, one that asks
/// for `stack_size` bytes if for any.
pub(super) fn has_room_for_one_more(stack_size: Option<usize>) -> bool {
    let needed = stack_size.unwrap_or(0).max(ROOM_FOR_ONE_MORE);
    here().is_some_and(|(_, left)| left > needed)
}

/// The calling green thread may overflow its stack if it calls a panic hook: and an overflow amid a
/// panic is the end, see `handle`.
pub(super) fn is_too_near_for_a_hook() -> bool {
    here().is_some_and(|(green, left)| left < ROOM_FOR_A_HOOK.min(green.stack_size / 4))
}

/// Puts our handler in front of generator's, which is installed when the first coroutine starts:
/// so it must be called in one.
pub(super) fn install_handler() {
    PREVIOUS.get_or_init(|| {
        // SAFETY: the handler has the signature that SA_SIGINFO asks for and does only what is
        // allowed in a signal handler; the structs are initialised before they are read.
        unsafe {
            let mut previous = MaybeUninit::zeroed();
            libc::sigaction(libc::SIGSEGV, ptr::null(), previous.as_mut_ptr());
            let mut ours: libc::sigaction = MaybeUninit::zeroed().assume_init();
            ours.sa_sigaction = handle as *const () as libc::sighandler_t;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGSEGV, &ours, ptr::null_mut());
            previous.assume_init()
        }
    });
}

/// The handler. Does only what is allowed in one: no lock, no memory.
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid siginfo to an SA_SIGINFO handler.
    let address = unsafe { (*info).si_addr() } as usize;
    // It runs right now: what it holds of its own Arc is on its stack, which is never unwound, so
    // it stays alive for good.
    if let Some(green) = owner_of_guard(address) {
        if std::thread::panicking() {
            give_up();
        }
        ACTIVE.set(ptr::null());
        pause(green.hub);
        // SAFETY: we know its stack, so it has a guard; and nothing will run on that again.
        unsafe { guard::lift(green.stack_bottom) };
        green.hub.overflowed.push(green);
        wake_by_timer(green.hub);
    }
    if let Some(previous) = PREVIOUS.get() {
        // SAFETY: it was installed by generator as an SA_SIGINFO handler of this signature; it
        // gets the arguments as they came.
        unsafe {
            let previous: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(previous.sa_sigaction);
            previous(signal, info, context);
        }
    }
}

/// Ends the process. std counts the panics of an OS thread, and this one's would never be taken
/// off: all that runs on the worker would take itself for unwinding, could wait for nothing, and
/// would end the process at the next panic, for another reason than this one. Async-signal-safe.
fn give_up() -> ! {
    const WHY: &str = "minihuey: a task has overflowed its stack in the middle of a panic, which \
        can't be undone. The process ends.\n";
    // SAFETY: the bytes are there for good.
    unsafe { libc::write(libc::STDERR_FILENO, WHY.as_ptr().cast(), WHY.len()) };
    std::process::abort()
}

/// Has the hub run soon. Async-signal-safe: one system call, no lock, no memory.
fn wake_by_timer(hub: &Hub) {
    let at_once = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: 0, tv_nsec: 1 },
    };
    // SAFETY: the descriptor is the hub's own and open for good; the struct is valid.
    unsafe { libc::timerfd_settime(hub.timer_fd(), 0, &at_once, ptr::null_mut()) };
}

/// Resolves what the overflowed green threads of this worker ran, or has others go on with it.
/// Called by its hub.
pub(super) fn bury(hub: &Hub) {
    for green in hub.overflowed.take() {
        let runtime = super::runtime_of(hub);
        runtime.release_green();
        let service = green.service.lock().take();
        if let Some(service) = service {
            runtime.keep(service);
        }
        if let Some(member) = &green.member {
            green.bury(member);
        }
    }
}
