//! Where a job runs: under which number of which pool's roster, and with one of its places or
//! without. A runner has a post for life. The jobs that it runs on top of its own, because there was
//! no green thread for them, have one each, which may be in another pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::job::JobRef;
use super::lock::Mutex;
use super::pool::{Pool, SomeChores, State, call_later};
use super::runner::Member;

pub(crate) struct Post {
    pub(super) pool: Arc<Pool>,
    pub(super) number: usize,
    /// It has one of the pool's places, which it never has if there is no limit. Touched by who runs
    /// there, or after its end.
    pub(super) has_place: AtomicBool,
}

impl Post {
    pub(super) fn new(pool: Arc<Pool>, number: usize, has_place: bool) -> Post {
        Post { pool, number, has_place: AtomicBool::new(has_place) }
    }

    /// Gives its place back; whoever returns and has it next is to be called. Gives false if it
    /// has none.
    // ORDERING: Relaxed, here and below: only one thread at a time runs there.
    #[inline]
    pub(super) fn give_place(&self, state: &mut State, chores: &mut SomeChores) -> bool {
        if !self.has_place.load(Ordering::Relaxed) {
            return false;
        }
        self.has_place.store(false, Ordering::Relaxed);
        if let Some(returning) = state.backlog.give_place() {
            call_later(chores, returning);
        }
        true
    }

    /// For whoever goes on in its place.
    pub(super) fn inherit(&self) -> Post {
        Post::new(self.pool.clone(), self.number, self.has_place.load(Ordering::Relaxed))
    }

    /// What runs there.
    pub(super) fn job(&self, state: &State) -> Option<JobRef> {
        state.roster.job(self.number).cloned()
    }
}

/// The posts of the jobs that a runner runs on top of its own, each on top of the one before.
pub(super) struct Pile {
    posts: Mutex<Vec<Arc<Post>>>,
    /// There are none. For a glance: it is exact for the runner itself.
    is_empty: AtomicBool,
}

impl Pile {
    pub(super) const fn new() -> Pile {
        Pile { posts: Mutex::new(Vec::new()), is_empty: AtomicBool::new(true) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // ORDERING: Relaxed, here and below: the lock of the posts orders what they hold.
        self.is_empty.load(Ordering::Relaxed)
    }

    pub(super) fn push(&self, post: Arc<Post>) {
        self.posts.lock().push(post);
        self.is_empty.store(false, Ordering::Relaxed);
    }

    pub(super) fn pop(&self) {
        let mut posts = self.posts.lock();
        let post = posts.pop();
        self.is_empty.store(posts.is_empty(), Ordering::Relaxed);
        drop(posts);
        drop(post);
    }

    fn top(&self) -> Option<Arc<Post>> {
        if self.is_empty() {
            return None;
        }
        self.posts.lock().last().cloned()
    }

    /// Of one that is dead.
    pub(super) fn take(&self) -> Vec<Arc<Post>> {
        std::mem::take(&mut *self.posts.lock())
    }

    fn is_any(&self, f: impl Fn(&Post) -> bool) -> bool {
        self.posts.lock().iter().any(|post| f(post))
    }
}

impl Member {
    /// Calls `f` with the post of the job that stands on top of all others.
    #[inline]
    pub(super) fn with_top<R>(&self, f: impl FnOnce(&Post) -> R) -> R {
        match self.pile.top() {
            Some(post) => f(&post),
            None => f(&self.post),
        }
    }

    /// One of its posts is such.
    pub(super) fn has_post(&self, f: impl Fn(&Post) -> bool) -> bool {
        f(&self.post) || self.pile.is_any(f)
    }
}
