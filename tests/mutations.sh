#!/usr/bin/env bash
# Breaks the library in one place after another, in a copy, and expects the test that is there for it
# to fail. With an argument: only those mutations whose name contains it. All of them take some
# twenty minutes, in two halves at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

here=$PWD
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target}
export RUST_BACKTRACE=0
# Nobody asks where they fail, and each is linked a third faster.
export CARGO_PROFILE_DEV_DEBUG=0
only=${1:-}
half=${HALF:-}
if [[ -z $only && -z $half ]]; then
    HALF=0 tests/mutations.sh &
    other=$!
    failed=0
    HALF=1 tests/mutations.sh || failed=1
    wait "$other" || failed=1
    exit "$failed"
fi
# Always the same place: for each other one cargo would keep all that it builds.
copy=$CARGO_TARGET_DIR/mutations$half
if [[ $half == 1 ]]; then
    export CARGO_TARGET_DIR=$copy/target
fi
rm -rf "$copy"
mkdir -p "$copy"
trap 'rm -rf "$copy"' EXIT
# With the time of now: what was built before may be of a mutation.
tar --exclude=./target --exclude=./.git -c . | tar -x -m -C "$copy"
survived=0
met=0
tried=0

# mutate NAME FILE PERL-SUBSTITUTION TEST [FILTER]
# Whoever waits for what does not come waits for 40 s: `most` says how long that is worth.
most=120
mutate() {
    local name=$1 file=$2 change=$3 test=$4 filter=${5:-}
    [[ $name == *"$only"* ]] || return 0
    met=$((met + 1))
    [[ -z $half ]] || ((met % 2 == half)) || return 0
    tried=$((tried + 1))
    perl -0pi -e "$change" "$copy/$file"
    if cmp -s "$file" "$copy/$file"; then
        echo "STALE    $name: nothing to change in $file"
        survived=$((survived + 1))
        return
    fi
    local package=()
    [[ $test == nearly_valid ]] && package=(-p minihuey-crontab)
    if ! (cd "$copy" && cargo test -q --locked "${package[@]}" --test "$test" --no-run) \
        >"$copy/log" 2>&1; then
        echo "BROKEN   $name: does not compile"
        tail -20 "$copy/log"
        survived=$((survived + 1))
    elif (cd "$copy" && timeout $most cargo test -q --locked "${package[@]}" --test "$test" -- \
        --test-threads=1 $filter) >"$copy/log" 2>&1; then
        echo "SURVIVED $name"
        survived=$((survived + 1))
    elif ! grep -q '^running [1-9]' "$copy/log"; then
        echo "BROKEN   $name: no test ran"
        tail -20 "$copy/log"
        survived=$((survived + 1))
    else
        echo "killed   $name"
    fi
    # With the time of now, which cargo goes by.
    cat "$file" >"$copy/$file"
}

cell=src/slot/cell.rs
publish=a_value_reaches_who_waits_for_it
mutate "slot: publish only acquires" $cell \
    's/fetch_or\(READY, Ordering::AcqRel\)/fetch_or(READY, Ordering::Acquire)/' loom $publish
mutate "slot: publish only releases" $cell \
    's/fetch_or\(READY, Ordering::AcqRel\)/fetch_or(READY, Ordering::Release)/' loom $publish
mutate "slot: register only acquires" $cell \
    's/fetch_or\(WAITING, Ordering::AcqRel\)/fetch_or(WAITING, Ordering::Acquire)/' loom $publish
mutate "slot: a value that is too late is left in the slot" $cell \
    's/before & \(FATE \| GONE\) == 0 /before \& GONE == 0 /' loom values::
mutate "slot: nobody looks whether the receiver is gone" $cell \
    's/before & \(FATE \| GONE\) == 0 /before \& FATE == 0 /' loom a_value_that_nobody
mutate "slot: an unwanted value is not said to be taken" $cell \
    's/if before & FATE == 0 \{\s+self.taken/if false { self.taken/' loom a_value_that_nobody
mutate "slot: a receiver that goes only looks" $cell \
    's/state = self.state.fetch_or\(GONE, Ordering::Acquire\)/state = self.state.load(Ordering::Acquire)/' \
    loom a_value_that_nobody
mutate "slot: a receiver that goes does not acquire" $cell \
    's/(fetch_or\(GONE, Ordering::)Acquire/$1Relaxed/' loom a_value_that_nobody
mutate "slot: it may be ended once it has a value" $cell \
    's/(else \{ 0 \};\s+\(state & )\(READY \| FATE\)/$1FATE/' loom values::
mutate "slot: what is left is dropped by all who ended it" $cell \
    's/&& self.state.fetch_and\(!LEFT, Ordering::Relaxed\) & LEFT != 0/\&\& self.state.load(Ordering::Relaxed) \& LEFT != 0/' \
    loom what_is_ended_before
mutate "slot: what is left is forgotten" $cell \
    's/state & BEGUN == 0 \|\| state & LEFT != 0/state \& BEGUN == 0/' loom what_is_ended_before
mutate "slot: who waits for the dead is not woken" $cell \
    's/(if_doomed\).ok\(\)\?;\s+)Some\(self.waiter_at\(before\)\)/$1let _ = before;\n        Some(None)/' \
    loom one_who_died

shared=an_objects_last_owner_sees
mutate "shared: the last owner's drop only releases" src/green/shared.rs \
    's/\|\| owners.fetch_sub\(1, Ordering::AcqRel\)/|| owners.fetch_sub(1, Ordering::Release)/' loom $shared

mutate "shared: who is given the last owner back does not acquire" src/green/shared.rs \
    's/this.owners\(\).load\(Ordering::Acquire\)/this.owners().load(Ordering::Relaxed)/' loom who_is_given
mutate "shared: nobody is given the last owner back" src/green/shared.rs \
    's/(this.owners\(\).fetch_sub\(1, Ordering::AcqRel\)) > 1/$1 > 0/' loom one_is_given

word=one_at_a_time_has_the_lock
mutate "word: unlock does not release" src/green/word.rs \
    's/swap\(FREE, Ordering::Release\)/swap(FREE, Ordering::Relaxed)/' loom $word
mutate "word: a waiter does not say that it waits" src/green/word.rs \
    's/swap\(AWAITED, Ordering::Acquire\)/swap(TAKEN, Ordering::Acquire)/' loom $word

mutate "inbox: the flag is cleared after the lock" src/green/inbox.rs \
    's/(let mut letters = self.letters.lock\(\);\s+)(\/\/ Under[^\n]*\s+)self.mail.store\(NONE, Ordering::Relaxed\);\s+std::mem::take\(&mut \*letters\)/let taken = std::mem::take(&mut *self.letters.lock());\n        self.mail.store(NONE, Ordering::Relaxed);\n        taken/' \
    loom no_letter_is_left
mutate "hub: no look at the mail after arming" src/green/inbox.rs \
    's/!self.has_mail\(\)/true/' loom no_letter_is_left

hub=src/green/hub.rs
mutate "watchdog: it is not seen that somebody else runs" $hub \
    's/ticks: self.ticks.load\(Ordering::Relaxed\),\s+last_look: self.last_look.load\(Ordering::Relaxed\)/ticks: 0, last_look: 0/' \
    watchdog nobody_is_named
mutate "starved: tasks that keep each other busy seldom let the hub have its turn" $hub \
    's/TURN_EVERY: Duration = Duration::from_micros\(200\)/TURN_EVERY: Duration = Duration::from_millis(500)/' \
    it tasks_that_keep_each_other_busy
mutate "starved: a pool that is full of work seldom lets the hub have its turn" $hub \
    's/TURN_EVERY: Duration = Duration::from_micros\(200\)/TURN_EVERY: Duration = Duration::from_millis(500)/' \
    it a_thread_that_saturates
mutate "starved: what may itself serves seldom gets a chance" $hub \
    's/SELECT_EVERY: Duration = Duration::from_millis\(10\)/SELECT_EVERY: Duration = Duration::from_millis(500)/' \
    it tasks_that_keep_each_other_busy

mutate "called: call does not release" src/green/called.rs \
    's/self.called.store\(true, Ordering::Release\)/self.called.store(true, Ordering::Relaxed)/' \
    loom who_is_called
mutate "called: take does not acquire" src/green/called.rs \
    's/self.called.load\(Ordering::Acquire\)/self.called.load(Ordering::Relaxed)/' loom who_is_called
mutate "called: a wait for any wake" src/green/called.rs \
    's/while !self.take\(\) \{\s+park\(\);/if !self.take() {\n            park();/' \
    loom who_is_called
mutate "called: the proxy leaves its call" src/green/called.rs \
    's/if was_called \{/if was_called \&\& false {/' loom a_call_to_a_proxy

quota=who_is_refused_a_green_thread
mutate "quota: no fence in release" src/green/quota.rs \
    's/(fetch_sub\(1, Ordering::Relaxed\);\s+)fence\(Ordering::SeqCst\);/$1/' loom $quota
mutate "quota: no fence in list" src/green/quota.rs \
    's/(see `release`.\s+)fence\(Ordering::SeqCst\);/$1/' loom $quota
mutate "quota: who is looked after once counts as looked after for good" src/green/quota.rs \
    's/starved.is_looked_after = false;//' loom who_had_no_memory
mutate "quota: the lower mark for whoever asks" src/green/quota.rs \
    's/let has_room = (.*?)self.limit\(is_waited_for\)/let _ = is_waited_for;\n        let has_room = $1self.most_at_ease/s' loom $quota

watches=src/green/watches.rs
closing=a_wait_that_begins_while_its_descriptor_is_closed
mutate "poller: the unpark before the state" $watches \
    's/(let _ = self.state.compare_exchange[^;]*;)\s+unpark\(&self.waiter\);/unpark(&self.waiter);\n        $1/' \
    loom an_event_for_one
mutate "poller: those who are left are not armed for" $watches \
    's/armed = self.set.arm\(known, fd, wanted\(watches\)\);/let _ = known;/' loom an_event_for_one
mutate "poller: who leaves takes the others with it" $watches \
    's/watches.retain\([^;]*\);/let _ = wait;\n            watches.clear();/' loom an_event_for_one
mutate "poller: who begins to wait while it is closed is not looked for" $watches \
    's/self.end_all\(fd, STALE, unpark\);/let _ = (fd, STALE, unpark);/' loom $closing
mutate "poller: no fence in closed" $watches \
    's/(hears so.\s+)fence\(Ordering::SeqCst\);/$1/' loom $closing
mutate "poller: no fence before one who waits asks" $watches \
    's/(self.waits.fetch_add[^;]*;\s+)fence\(Ordering::SeqCst\);/$1/' loom $closing
mutate "poller: who waited for what had the number before does not begin anew" $watches \
    's/STALE => None/STALE => Some(Polled::Ready)/' loom who_waits_while_the_number

blocking=src/green/blocking.rs
mutate "block: any wake is taken for one's own" $blocking \
    's/who.park\(\);/who.park();\n            return Waited::Ready;/' loom a_wait_whose_time_runs_out
mutate "block: an interruption is not looked for again" $blocking \
    's/if who.is_interrupted\(\)/if !others_ran \&\& who.is_interrupted()/' loom a_task_that_is_ended
mutate "block: who is ready at once does not hear of its end" $blocking \
    's/(        if who.is_interrupted\(\) \{.*?\n        \}\n)(        if done\(\) \{.*?\n        \}\n)/$2$1/s' \
    loom a_task_that_is_ended
mutate "block: a wait whose time is over lets nobody run" $blocking \
    's/if others_ran \{/if true {/' loom a_wait_whose_time_is_over

door=src/monkey/door.rs
mutate "door: nobody tells the thread that it is not needed" $door \
    's/\(connection, self.is_to_stop\(\)\)/(connection, false)/' loom a_thread_that_nobody_needs
mutate "door: a thread that ends is remembered" $door \
    's/self.has_thread = self.is_wanting\(\);\s+self.has_thread/self.is_wanting()/' \
    loom a_thread_that_nobody_needs
mutate "door: what others wait for is taken" $door \
    's/if self.connections.len\(\) <= self.patient\(\)/if self.connections.is_empty()/' \
    loom what_is_laid_down
listeners=src/monkey/listeners.rs
closing=who_waits_is_told
mutate "door: who begins to wait while it is closed is not looked for" $listeners \
    's/if self.count.load\(Ordering::Relaxed\) == 0 \{/if true {/' loom $closing
mutate "door: no fence in closed" $listeners \
    's/(with the fence in `wait`.\s+)fence\(Ordering::SeqCst\);/$1/' loom $closing
mutate "door: no fence before one who waits asks" $listeners \
    's/fence\(Ordering::SeqCst\);(\s+let is_closed)/$1/' loom $closing
mutate "door: who came too late does not ask" $listeners \
    's/let is_closed = [^;]*;/let is_closed = false;/' loom $closing
mutate "door: what comes when it is closed is kept" $listeners \
    's/let is_kept = [^;]*;/let is_kept = true;/' loom $closing
mutate "door: who gives up does not ring" $listeners \
    's/bell.inspect\(\|bell\| self.street.ring\(bell\)\);(\s+connection)/let _ = bell;$1/' \
    loom a_thread_that_nobody_needs
mutate "door: a thread that is just asked for does not hear its bell" $listeners \
    's/entry.bell = Some\(bell\)/drop(bell)/' loom a_thread_that_nobody_needs
mutate "door: who relies on a thread that can't be had is not woken" $listeners \
    's/(drop\(bell\);\s+)self.wake_all\(&woken\);/$1let _ = woken;/' loom if_no_thread_can_be_had
mutate "door: that no thread can be had hides that it is closed" $listeners \
    's/Some\(Outcome::Failed\(_\)\) if is_closed => [^\n]*\n//' loom who_can_have_no_thread
mutate "watchdog: no second look" src/green/doze.rs \
    's/let found = look\(\)\?;/let found = None?;/' loom a_worker_that_begins
mutate "watchdog: it dozes before it says so" src/green/doze.rs \
    's/    dozes.store\(true, Ordering::SeqCst\);\s+let found = look\(\)\?;/    let found = look();\n    dozes.store(true, Ordering::SeqCst);\n    let found = found?;/' \
    loom a_worker_that_begins
mutate "barrier: looked at and entered under two locks" src/green/sync/meeting.rs \
    's/(there.len\(\) \+ 1 < self.size \{)/$1\n                drop(there);\n                let mut there = self.there.lock();/' \
    loom who_meets

bell=src/green/bell.rs
mutate "bell: a ring does not release" $bell \
    's/swap\(RUNG, Ordering::Release\)/swap(RUNG, Ordering::Relaxed)/' loom who_was_rung_for
mutate "bell: a ring that was there is not acquired" $bell \
    's/fetch_sub\(1, Ordering::Acquire\)/fetch_sub(1, Ordering::Relaxed)/' loom who_was_rung_for
mutate "bell: a ring that wakes is not acquired" $bell \
    's/SILENT, Ordering::Acquire, Ordering::Relaxed/SILENT, Ordering::Relaxed, Ordering::Relaxed/' \
    loom who_was_rung_for
mutate "bell: a ring as the time is over is not acquired" $bell \
    's/swap\(SILENT, Ordering::Acquire\)/swap(SILENT, Ordering::Relaxed)/' loom a_ring_that_comes
mutate "bell: a ring as the time is over is lost" $bell \
    's/self.0.swap\(SILENT, Ordering::Acquire\) == RUNG/self.0.swap(SILENT, Ordering::Acquire) == AWAITED/' \
    loom a_ring_that_comes
mutate "bell: who waits is not woken" $bell \
    's/swap\(RUNG, Ordering::Release\) == AWAITED/swap(RUNG, Ordering::Release) == SILENT/' \
    loom who_was_rung_for

crew=src/green/crew.rs
mutate "crew: a thread ends though it is called" $crew \
    's/(\/\/ Called this moment.\s+)drop\(state\);\s+seat.bell.wait\(\);/$1return None;/' \
    loom work_that_comes_as
mutate "crew: a thread that ended is called" $crew \
    's/state.idle.remove\(index\);/let _ = index;/' loom work_that_comes_as
mutate "crew: a share beyond the limit for what is submitted" $crew \
    's/if self.running >= limit/if self.running > limit/' loom no_more_than_the_limit
mutate "crew: a share beyond the limit for who returns" $crew \
    's/if state.running < self.limit && state.returning.is_empty\(\)/if state.returning.is_empty()/' \
    loom no_more_than_the_limit
mutate "crew: a share beyond the limit for who has done its work" $crew \
    's/let work = if state.running < self.limit/let work = if true/' loom no_more_than_the_limit
mutate "crew: a share is not lent" $crew \
    's/state.running -= 1;\s+(seat.has_share.store\(false)/$1/' \
    loom no_more_than_the_limit
mutate "crew: who returns is not told of a share" $crew \
    's/let next = if state.returning.is_empty\(\)/let next = if true/' loom no_more_than_the_limit
mutate "crew: what is queued goes before who returns" $crew \
    's/(let next = if state.returning[^\n]*\n)(\s+let work = if [^\n]*\n)/$2$1/' loom who_returns_has
mutate "crew: what is queued goes before who returns when a share is lent" $crew \
    's/if let Some\(returning\) = self.returning.pop_front\(\)/if self.queue.is_empty() \&\& let Some(returning) = self.returning.pop_front()/' \
    loom who_returns_has
mutate "crew: a refused thread keeps its share" $crew \
    's/(let work = seat.take_work\(\);\s+)state.running -= 1;/$1/' loom crews::
mutate "crew: a thread is spawned without the lock" $crew \
    's/let Err\(error\) = spawn\(seat.clone\(\)\) else \{ return Ok\(\(\)\) \};/drop(state);\n        let spawned = spawn(seat.clone());\n        let mut state = self.state.lock();\n        let Err(error) = spawned else { return Ok(()) };/' \
    loom crews::
mutate "crew: what nobody is there to do is queued" $crew \
    's/if state.running == 0 \{/if false {/' loom crews::
mutate "crew: who is to do it itself has no share for that" $crew \
    's/lender.has_share.store\(true, Ordering::Relaxed\);//' loom crews::

desk=src/green/desk.rs
mutate "desk: a deadline does not wake the thread" $desk \
    's/if is_first \{/if is_first \&\& false {/' loom a_deadline_is_not_missed
mutate "desk: an earlier deadline does not wake the thread" $desk \
    's/deadline < entries.sleeps_until/entries.sleeps_until == u64::MAX/' loom an_earlier_deadline
mutate "desk: it sleeps before it says until when" $desk \
    's/(entries.sleeps_until = until[^\n]*)\s+drop\(entries\);/drop(entries);\n            let mut entries = self.entries.lock();\n            $1\n            drop(entries);/' \
    loom a_deadline_is_not_missed
mutate "desk: a rouse does not wake the thread" $desk \
    's/(roused = true;\s+)self.bell.ring\(\);/$1/' loom who_rouses
mutate "desk: the thread sleeps though it was roused" $desk \
    's/if roused \|\| !due/if !due/' loom who_rouses
mutate "desk: the thread sleeps until the later time" $desk \
    's/chain\(entries.deadlines.next\(\)\).min\(\)/chain(entries.deadlines.next()).max()/' \
    loom who_rouses

backlog=work_is_done_even_if
mutate "backlog: a runner rests without being listed" src/green/backlog.rs \
    's/self.crews\[crew\].idle.push\(me.clone\(\)\);/let _ = me;/' loom $backlog
returns=pool::who_returns
mutate "backlog: a place beyond the limit" src/green/backlog.rs \
    's/if self.places_taken < self.limit && self.returning.is_empty\(\)/if self.returning.is_empty()/' \
    loom $returns
mutate "backlog: who returns does not have the place of who lends it" src/green/backlog.rs \
    's/(fn give_place.*?self.places_taken >= self.limit)/$1 || true/s' loom $returns
mutate "backlog: who is given a place is not counted" src/green/backlog.rs \
    's/(let returning = self.returning.pop_front\(\)\?;\s+)self.places_taken \+= 1;/$1/' loom $returns
mutate "backlog: no runner calls who returns" src/green/backlog.rs \
    's/if let Some\(runner\) = self.returning.pop_front\(\) \{/if let Some(runner) = None {/' loom $returns
mutate "backlog: nobody returns in place of who can not begin" src/green/backlog.rs \
    's/(fn return_instead.*?self.places_taken >= self.limit)/$1 || true/s' loom $returns
shortage=shortage::
most=20
mutate "shortage: who is waited for in another huey has no precedence" src/green/lending.rs \
    's/if job.pool\(\) != here.id &&/if false \&\& job.pool() != here.id \&\&/' regressions ${shortage}a_task
mutate "shortage: the place of what ran on top is lost" src/green/lending.rs \
    's/(roster.free\(number\);\s+)if post.give_place\([^)]*\)/$1if false/' regressions ${shortage}a_task
mutate "shortage: who ran on top is not buried" src/green/pool.rs \
    's/posts.iter\(\).map\(/posts.iter().take(0).map(/' regressions ${shortage}a_task
mutate "shortage: a shutdown does not find who runs on top" src/green/post.rs \
    's/self.posts.lock\(\).last\(\).cloned\(\)/None/' regressions ${shortage}what_a
mutate "shortage: who does nothing stays" src/green/runtime.rs \
    's/pool.spare_idle\(\);/let _ = &pool;/' regressions ${shortage}green_threads
mutate "shortage: another worker has nobody" src/green/backlog.rs \
    's/!crew.standby && !crew.idle.is_empty\(\)/!crew.standby \&\& false/' regressions ${shortage}with_two
most=120
mutate "lane: a place beyond the limit" src/green/lane.rs \
    's/if self.places_taken < self.limit && self.returning.is_empty\(\)/if self.returning.is_empty()/' \
    loom offloaded_work_that_waits

mutate "roster: who runs it is not told" src/green/roster.rs \
    's/runner.hint\(\).0.store\(true, Ordering::Relaxed\)/let _ = runner.hint()/' loom a_job_that_is_ended
lazy=src/monkey/lazy.rs
mutate "lazy: who makes it does not release it" $lazy \
    's/new, Ordering::Release, Ordering::Acquire/new, Ordering::Relaxed, Ordering::Acquire/' loom all_see
mutate "lazy: who comes second does not acquire it" $lazy \
    's/new, Ordering::Release, Ordering::Acquire/new, Ordering::Release, Ordering::Relaxed/' loom all_see
mutate "lazy: who finds it there does not acquire it" $lazy \
    's/load\(Ordering::Acquire\)/load(Ordering::Relaxed)/' loom all_see
loops=src/loops.rs
mutate "loops: news is not looked at before it sleeps" $loops \
    's/if self.news \{ Then::Look \} else \{ Then::Sleep \}/Then::Sleep/' loom what_is_due
mutate "loops: nobody is woken" $loops \
    's/self.sleeper.take\(\)/None/' loom what_is_due
mutate "loops: who is stopped is not woken" $loops \
    's/Some\(self.tell\(\)\)/Some(None)/' loom what_is_due
mutate "loops: one that is to end takes the news of the next one" $loops \
    's/(if self.runs\(this\) \{)\s+self.news = false;/self.news = false;\n        $1/' loom a_loop_that_ends
mutate "loops: one that is to end takes the sleeper of the next one" $loops \
    's/(if self.runs\(this\) \{\s+self.news)/self.sleeper = None;\n        $1/' loom a_loop_that_ends
mutate "loops: one that ends lists itself" $loops \
    's/(if !self.runs\(this\) \{)/$1\n            self.sleeper = Some(waiter());/' loom a_loop_that_ends
runs=src/runs.rs
owed=a_run_that_is_owed
mutate "runs: the end of one does not release" $runs \
    's/store\(true, Ordering::Release\)/store(true, Ordering::Relaxed)/' loom $owed
mutate "runs: the end of one is not acquired" $runs \
    's/load\(Ordering::Acquire\)/load(Ordering::Relaxed)/' loom $owed
mutate "runs: who makes them is told first" $runs \
    's/(pub\(crate\) fn end\(self[^\n]*\n)(.*?)\s+tell\(\);/$1        tell();\n$2/s' loom $owed
mutate "runs: one that is owed does not wait" $runs \
    's/self.owed > 0 && !self.is_running\(\)/self.owed > 0/' loom $owed
arrivals=src/arrivals.rs
mutate "arrivals: who waits is not given" $arrivals 's/self.waiter.take\(\)/None/' loom every_member
mutate "arrivals: who waits is not listed" $arrivals \
    's/Some\(waiter\(\)\) \} else/{ drop(waiter()); None } } else/' loom every_member
mutate "active: who is freed can still be looked at" src/green/active.rs \
    's/if ptr::eq\(self.0.load\(Ordering::Relaxed\), one\)/if one.is_null()/' loom who_is_looked_at

condition=src/green/sync/condition.rs
mutate "condition: unlocked before it is listed" $condition \
    's/(let ticket = [^;]*;)\s+unlock\(\);/unlock();\n        $1/' loom what_is_notified
mutate "condition: who unwinds keeps its notification" $condition \
    's/if was_notified && ended.is_err\(\)/if false/' loom a_notification_of_one
mutate "condition: who gives up stays listed" $condition \
    's/self.waiting.lock\(\).remove\(ticket\).is_none\(\)/!self.waiting.lock().contains(ticket)/' \
    loom conditions::
lobby=src/green/lobby.rs
mutate "lobby: who finds room without a call stays listed" $lobby \
    's/let _ = self.strike\(guest\);//' loom who_is_woken_for_nothing
mutate "lobby: who gives up stays listed" $lobby \
    's/self.strike\(&mut guest\).is_none\(\)/guest.0.take().is_some_and(|ticket| !self.waiting.contains(ticket))/' \
    loom a_call_of_one
mutate "lobby: who gives up keeps its call" $lobby \
    's/if was_called \{ self.call\(\) \} else \{ None \}/let _ = was_called;\n        None/' \
    loom a_call_of_one
overflowed=src/green/overflowed.rs
mutate "overflowed: it is not released to the hub" $overflowed \
    's/first, this, Ordering::Release/first, this, Ordering::Relaxed/' loom all_who_overflow
mutate "overflowed: the hub does not acquire it" $overflowed \
    's/swap\(next, Ordering::Acquire\)/swap(next, Ordering::Relaxed)/' loom all_who_overflow
mutate "overflowed: the link is not stored anew" $overflowed \
    's/loop \{\s+one.next\(\).store\(first, Ordering::Relaxed\);/one.next().store(first, Ordering::Relaxed);\n        loop {/' \
    loom all_who_overflow
armed=src/green/armed.rs
mutate "timers: it stays armed for what was" $armed \
    's/self.0.store\(earliest[^;]*;//' loom every_sleeper
mutate "timers: it is armed anew for later ones" $armed \
    's/let too_late = deadline </let too_late = deadline >/' loom every_sleeper

permits=src/green/sync/permits.rs
mutate "permits: to acquire does not acquire" $permits \
    's/less, Ordering::Acquire, Ordering::Relaxed/less, Ordering::Relaxed, Ordering::Relaxed/' \
    loom a_lock_is_one_s
mutate "permits: to release does not release" $permits \
    's/more\(word, permits\),\s+Ordering::Release/more(word, permits), Ordering::Relaxed/g' \
    loom a_lock_is_one_s
mutate "permits: to grant does not acquire" $permits \
    's/permits \* ONE, Ordering::Acquire/permits * ONE, Ordering::Relaxed/' loom a_writer_sees
mutate "permits: nobody is told that somebody waits" $permits \
    's/, word \| QUEUED\);/, word);/' loom a_lock_is_one_s
mutate "permits: the bit stays when nobody waits" $permits \
    's/fetch_and\(!QUEUED/fetch_and(!0/' loom a_lock_is_one_s
mutate "permits: who gives up serves nobody behind" $permits \
    's/(\/\/ It may have stood[^\n]*\n)\s+self.grant\(wake\);/$1        let _ = wake;/' \
    loom a_reader_goes_on

selection=src/green/sync/selection.rs
exchange=src/green/sync/exchange.rs
select=src/green/sync/select.rs
ends=src/green/sync/ends.rs
channel=src/green/sync/channel.rs
mutate "select: the other is claimed though it is not open" $selection \
    's/\(State::Open, State::Open\) =>/(State::Open, _) =>/' loom who_is_claimed
mutate "select: its own state is not looked at" $selection \
    's/\(State::Open, State::Open\) =>/(_, State::Open) =>/' loom who_is_claimed
mutate "select: a promise without a grant" $exchange \
    's/self.granted.insert\(sender, Grant::Receiver\(receiver\)\);/let _ = sender;/' \
    loom what_is_promised
mutate "select: a sender that gives up leaves its receiver listed" $exchange \
    's/Grant::Receiver\(receiver\) => self.receivers.remove\(receiver\).map\(\|ask\| ask.waiter\)/Grant::Receiver(_) => None/' \
    loom what_is_promised
mutate "select: a message that one gives up is not put back" $exchange \
    's/self.queue.push_front\(value\);/drop(value);/' loom every_message
mutate "select: nobody is told that the senders are gone" $exchange \
    's/(for choice in asks[^{]*\{\s+)choice.claim\(\);/$1let _ = choice;/' loom is_told

mutate "select: a message whose receiver gave up is dropped" $exchange \
    's/self.queue.push_back\(value\);\s+None\s+\}\s+\}\)/drop(value);\n                None\n            }\n        })/' \
    loom a_message_whose_receiver
mutate "select: one that is relied on goes when its time is over" $channel \
    's/waited == Waited::TimedOut && exchange.is_promised\(ticket\)/{ let _ = exchange.is_promised(ticket); false }/' \
    loom who_was_met
mutate "select: one that selects and is relied on goes when its time is over" $select \
    's/(Some\(_\) if waited == Waited::TimedOut => block_until\(me, )None/$1deadline/' loom who_was_met
mutate "select: one may be claimed as it leaves" $select \
    's/match self.selection.close\(\) \{/match self.selection.claimed() {/' loom who_was_met
mutate "select: it waits and is not listed" $select \
    's/listed.attempt\(order.clone\(\), true, me.as_ref\(\)\);//' loom two_who_select
mutate "select: what is gone again is gone on with" $select \
    's/case.is_done\(ticket\) && case.is_certain\(ticket\)/case.is_done(ticket)/' loom what_is_promised
mutate "select: one that was promised a message does not see that others are left" $exchange \
    's/\(self.no_senders && self.queue.is_empty\(\)\)/self.no_senders/' loom what_is_promised
mutate "select: who is handed a message is not woken" $ends \
    's/(release\(exchange\);\s+)if let Some\(receiver\) = receiver\? \{\s+receiver.wake\(\);\s+\}/$1drop(receiver?);/' \
    loom two_who_select
mutate "select: a sender that is met is not woken" $ends \
    's/if let Some\(sender\) = sender \{\s+sender.wake\(\);\s+\}/drop(sender);/' loom two_who_select
mutate "select: those who watch are not told" $channel \
    's/told.into_iter\(\).for_each\(Waiter::wake\);/drop(told);/' loom one_who_watches
mutate "select: those who watch do not see who waits to send" $exchange \
    's/ \|\| self.senders.iter\(\).any\(sends\)/ || { let _ = sends; false }/' loom one_who_watches
mutate "select: those who watch do not see who waits to receive" $exchange \
    's/ \|\| self.receivers.iter\(\).any\(receives\)/ || { let _ = receives; false }/' loom one_who_watches

mutate "channel: who waits for room is not woken" $channel \
    's/(with\(Exchange::receive\)\?;\s+)if let Some\(sender\) = sender \{\s+sender.wake\(\);\s+\}/$1drop(sender);/' \
    loom every_message_comes_once
mutate "channel: who waits for a message is not woken" $channel \
    's/if let Some\(receiver\) = receiver\? \{\s+receiver.wake\(\);\s+\}/drop(receiver?);/' \
    loom every_message_comes_once
mutate "channel: the last sender goes unheard" $channel \
    's/receivers.into_iter\(\).for_each\(Waiter::wake\);/drop(receivers);/' loom every_message_comes_once
mutate "channel: the last receiver goes unheard" $channel \
    's/senders.into_iter\(\).for_each\(Waiter::wake\);/drop(senders);/' loom a_sender_has_its_message
mutate "channel: who gives up is told that it sent" $channel \
    's/Some\(value\) => Err\(SendTimeoutError::Timeout\(value\)\)/Some(value) => Ok(drop(value))/' \
    loom a_sender_who_gives_up

mutate "clock: what the gap skipped is not made up for" src/crontab/summer_time.rs \
    's/expected < shown && calendar/false \&\& expected < shown \&\& calendar/' it clocks::in_a_whole_year
mutate "clock: what is shown again fires again" src/crontab/summer_time.rs \
    's/if matches && shown_before\(clock, at\).is_none\(\)/if matches/' it clocks::in_a_whole_year
mutate "clock: small steps back add up" src/scheduler.rs \
    's/            state.last_wall = Some\(last\);\n            return;/            return;/' \
    it clocks::a_clock_put_back
mutate "clock: one that is set back far is waited for" src/scheduler.rs \
    's/TimeDelta::hours\(3\)/TimeDelta::hours(5)/' it clocks::a_clock_put_back
mutate "clock: the last missed firing runs late" src/periodic.rs \
    's/look.fires.take_if\(\|due\| now - \*due >= MINUTE\)/look.fires.take_if(|due| now - *due >= MINUTE * 90)/' \
    it clocks::a_clock_put_forward

mutate "crontab: the longest step is refused" crontab/src/parse.rs \
    's/step if step <= last - first/step if step < last - first/' nearly_valid
mutate "crontab: a week that wraps is refused" crontab/src/parse.rs \
    's/Ok\(\(first, last \+ 7\)\)/Err(Fault::Backwards { first, last })/' nearly_valid
mutate "crontab: a long run is printed too long" crontab/src/print.rs \
    's/Some\(\(first, first \+ length - 1\)\)/Some((first, first + length - 1 + u32::from(length > 4)))/' \
    nearly_valid

echo "$tried tried, $survived not killed"
((survived == 0))
