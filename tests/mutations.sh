#!/usr/bin/env bash
# Breaks the library in one place after another, in a copy, and expects the test that is there for it
# to fail. With an argument: only those mutations whose name contains it. Takes some eight minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

here=$PWD
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target}
export RUST_BACKTRACE=0
# Always the same place: for each other one cargo would keep all that it builds.
copy=$CARGO_TARGET_DIR/mutations
rm -rf "$copy"
mkdir -p "$copy"
trap 'rm -rf "$copy"' EXIT
# With the time of now: what was built before may be of a mutation.
tar --exclude=./target --exclude=./.git -c . | tar -x -m -C "$copy"
only=${1:-}
survived=0
tried=0

# mutate NAME FILE PERL-SUBSTITUTION TEST [FILTER]
mutate() {
    local name=$1 file=$2 change=$3 test=$4 filter=${5:-}
    [[ $name == *"$only"* ]] || return 0
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
    elif (cd "$copy" && timeout 120 cargo test -q --locked "${package[@]}" --test "$test" -- \
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

shared=an_objects_last_owner_sees
mutate "shared: the last owner's drop only releases" src/green/shared.rs \
    's/fetch_sub\(1, Ordering::AcqRel\)/fetch_sub(1, Ordering::Release)/' loom $shared

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
mutate "quota: the lower mark for whoever asks" src/green/quota.rs \
    's/let has_room = (.*?)self.limit\(is_waited_for\)/let _ = is_waited_for;\n        let has_room = $1self.most_at_ease/s' loom $quota

mutate "poller: the unpark before the state" tests/loom/descriptors.rs \
    's/(let _ = self.state.compare_exchange[^;]*;)\s+self.parking.ring\(\);/self.parking.ring();\n        $1/' \
    loom a_wait_for_a_descriptor
mutate "poller: those who are left are not armed for" tests/loom/descriptors.rs \
    's/if !watched.is_empty\(\) \{\s+self.arm/if false {\n            self.arm/' loom an_event_for_one
mutate "block: any wake is taken for one's own" tests/loom/values.rs \
    's/        parking.wait\(\);\n    \}\n\}/        parking.wait();\n        return timer.is_none();\n    }\n}/' \
    loom a_wait_whose_time

door=src/monkey/door.rs
mutate "door: nobody tells the thread that it is not needed" $door \
    's/\(connection, self.is_to_stop\(\)\)/(connection, false)/' loom a_thread_that_nobody_needs
mutate "door: a thread that ends is remembered" $door \
    's/self.has_thread = self.is_wanting\(\);\s+self.has_thread/self.is_wanting()/' \
    loom a_thread_that_nobody_needs
mutate "door: what others wait for is taken" $door \
    's/if self.connections.len\(\) <= self.patient\(\)/if self.connections.is_empty()/' \
    loom what_is_laid_down
mutate "door: who begins to wait while it is closed is not looked for" tests/loom/doors.rs \
    's/(Some may have come in between.)\s+self.tell_those_who_wait\(\);/$1/' loom who_waits_is_told
mutate "watchdog: no second look" src/green/doze.rs \
    's/let found = look\(\)\?;/let found = None?;/' loom a_worker_that_begins
mutate "watchdog: it dozes before it says so" src/green/doze.rs \
    's/    dozes.store\(true, Ordering::SeqCst\);\s+let found = look\(\)\?;/    let found = look();\n    dozes.store(true, Ordering::SeqCst);\n    let found = found?;/' \
    loom a_worker_that_begins
mutate "barrier: looked at and entered under two locks" src/green/sync/meeting.rs \
    's/(there.len\(\) \+ 1 < self.size \{)/$1\n                drop(there);\n                let mut there = self.there.lock();/' \
    loom who_meets

backlog=work_is_done_even_if
mutate "backlog: a runner rests without being listed" src/green/backlog.rs \
    's/self.crews\[crew\].idle.push\(me.clone\(\)\);/let _ = me;/' loom $backlog
mutate "lane: a place beyond the limit" src/green/lane.rs \
    's/if self.places_taken < self.limit && self.returning.is_empty\(\)/if self.returning.is_empty()/' \
    loom offloaded_work_that_waits

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
