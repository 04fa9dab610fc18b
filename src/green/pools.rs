//! The pools that are alive, by their numbers, for those who know no more of one, or mean all.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::lock::Mutex;
use super::overflow;
use super::pool::Pool;

static POOLS: Mutex<BTreeMap<u32, Weak<Pool>>> = Mutex::new(BTreeMap::new());

impl Pool {
    /// To be called once, when it is made.
    pub(super) fn enlist(self: &Arc<Pool>) {
        overflow::probe();
        POOLS.lock().insert(self.id, Arc::downgrade(self));
    }

    pub(super) fn by_id(id: u32) -> Option<Arc<Pool>> {
        POOLS.lock().get(&id)?.upgrade()
    }

    pub(super) fn all() -> Vec<Arc<Pool>> {
        POOLS.lock().values().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        overflow::probe();
        POOLS.lock().remove(&self.id);
    }
}
