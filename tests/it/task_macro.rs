//! `#[task]`: what it keeps of a function, what it adds, and how its huey finds it.

// What users may ask of their own code; the hygiene of the expansion is tested by compiling this.
#![forbid(unsafe_code)]
#![deny(warnings, clippy::all, unused_qualifications, unreachable_pub)]
#![deny(missing_debug_implementations, single_use_lifetimes, let_underscore_drop)]

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use minihuey::{Error, ManualClock, MiniHuey, Overlap, TaskError, TaskResult, crontab, task};
use once_cell::sync::Lazy;

/// Longer than any machine takes, for a wait that ends much earlier unless something is broken.
const GENEROUS: Duration = Duration::from_secs(60);

/// Has a clock of its own, so that nothing in here waits for the time to pass.
static CLOCK: Lazy<ManualClock> =
    Lazy::new(|| ManualClock::at("2026-03-01T03:59:30Z".parse().unwrap()));
static HUEY: Lazy<MiniHuey> = Lazy::new(|| {
    let huey = MiniHuey::builder("task_macro").clock(&*CLOCK).build();
    huey.start().unwrap();
    huey
});

#[task(HUEY)]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task(HUEY)]
fn read(path: String) -> io::Result<String> {
    std::fs::read_to_string(path)
}

#[test]
fn a_call_gives_a_result_with_the_functions_value() {
    let sum: TaskResult<i64> = add(1, 2);
    assert_eq!(sum.get().unwrap(), 3);
}

#[test]
fn the_signature_is_the_functions_with_a_task_result() {
    let _: fn(i64, i64) -> TaskResult<i64> = add;
    let _: fn(String) -> TaskResult<String> = read;
    let _: fn(i64, i64) -> i64 = add::call_local;
    let _: fn(String) -> io::Result<String> = read::call_local;
}

#[test]
fn schedule_takes_the_arguments_as_a_tuple_and_an_eta() {
    let now = add::schedule((1, 2), Duration::ZERO);
    assert_eq!(now.get().unwrap(), 3);
    let mut later = add::schedule((3, 4), CLOCK.now() + Duration::from_secs(10 * 365 * 86_400));
    assert!(!later.is_ready());
    assert!(matches!(later.get_timeout(Duration::ZERO), Err(TaskError::WaitTimedOut)));
}

#[test]
fn map_calls_the_task_for_each_and_keeps_the_order() {
    assert_eq!(add::map([(1, 2), (3, 4), (5, 6)]).get().unwrap(), [3, 7, 11]);
    assert_eq!(add::map((0..3).map(|n| (n, n))).get().unwrap(), [0, 2, 4]);
}

#[test]
fn call_local_is_the_function_itself_in_this_thread() {
    #[task(HUEY)]
    fn thread() -> std::thread::ThreadId {
        std::thread::current().id()
    }
    assert_eq!(thread::call_local(), std::thread::current().id());
    assert_ne!(thread().get().unwrap(), std::thread::current().id());
    let error = read::call_local("/no/such/file".into()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn the_tasks_name_is_its_path() {
    let result = add(1, 2);
    assert_eq!(result.name(), "it::task_macro::add");
    result.get().unwrap();
}

#[test]
fn a_name_can_be_given() {
    #[task(HUEY, name = "custom-name")]
    fn named() {}
    let result = named();
    assert_eq!(result.name(), "custom-name");
    result.get().unwrap();
}

mod names {
    use super::*;

    pub(super) mod tasks {
        use super::HUEY;
        use minihuey::task;

        #[task(HUEY)]
        pub(in crate::task_macro) fn double(n: u32) -> u32 {
            2 * n
        }
    }

    #[test]
    fn one_use_imports_the_function_and_the_ways_to_call_it() {
        use tasks::double;
        assert_eq!(double(1).get().unwrap(), 2);
        assert_eq!(double::call_local(2), 4);
        assert_eq!(double::map([(3,), (4,)]).get().unwrap(), [6, 8]);
    }

    #[test]
    fn a_use_can_rename_both() {
        use tasks::double as twice;
        assert_eq!(twice(1).get().unwrap(), 2);
        assert_eq!(twice::call_local(2), 4);
    }

    #[test]
    fn a_variable_of_the_same_name_leaves_schedule_alone() {
        let add = add(1, 2).get().unwrap();
        assert_eq!(add::schedule((add, add), Duration::ZERO).get().unwrap(), 6);
    }

    #[test]
    fn parameters_may_be_named_as_the_expansion_names_its_own() {
        #[task(HUEY)]
        fn clash(args: i32, eta: i32, clash: i32, period: i32, r#type: i32) -> [i32; 5] {
            [args, eta, clash, period, r#type]
        }
        let all = [1, 2, 3, 4, 5];
        assert_eq!(clash(1, 2, 3, 4, 5).get().unwrap(), all);
        assert_eq!(clash::call_local(1, 2, 3, 4, 5), all);
        let scheduled = clash::schedule((1, 2, 3, 4, 5), Duration::ZERO);
        assert_eq!(scheduled.get().unwrap(), all);
    }

    #[test]
    fn a_task_may_have_a_raw_name() {
        #[task(HUEY)]
        fn r#match() -> i32 {
            1
        }
        let result = r#match();
        assert_eq!(result.name(), "it::task_macro::names::match");
        assert_eq!(result.get().unwrap(), 1);
        assert_eq!(r#match::call_local(), 1);
    }

    #[test]
    fn a_program_may_call_other_things_by_the_names_of_the_prelude() {
        mod strange {
            #![allow(dead_code)]
            struct Option;
            struct Result;
            struct Send;
            struct Into;
            mod core {}
            mod std {}
            mod minihuey {}

            #[::minihuey::task(super::super::HUEY, crontab(minute = 0), overlap = "skip")]
            pub(super) fn none() {}
        }
        strange::none().get().unwrap();
    }
}

mod errors {
    use super::*;

    #[test]
    fn an_error_comes_back_with_one_question_mark_as_it_went_in() {
        fn wanted() -> Result<String, TaskError> {
            let text: String = read("/no/such/file".to_owned()).get()?;
            Ok(text)
        }
        let error = wanted().unwrap_err();
        assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
        assert!(matches!(&error, TaskError::Failed(f) if f.task() == "it::task_macro::read"));
        let original: io::Error = error.downcast().unwrap();
        assert_eq!(original.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_result_under_another_name_is_a_result_all_the_same() {
        type Odd<T> = Result<T, String>;
        type Done = Result<(), String>;
        type Backwards<E, T> = Result<T, E>;

        #[task(HUEY)]
        fn odd(n: i32) -> Odd<i32> {
            if n % 2 == 1 { Ok(n) } else { Err(format!("{n} is even")) }
        }
        #[task(HUEY)]
        fn done() -> Done {
            Err("never".to_owned())
        }
        #[task(HUEY)]
        fn backwards() -> Backwards<String, i32> {
            Ok(1)
        }
        let one: TaskResult<i32> = odd(1);
        assert_eq!(one.get().unwrap(), 1);
        let error = odd(2).get().unwrap_err();
        assert_eq!(error.downcast_ref::<String>().unwrap(), "2 is even");
        let nothing: TaskResult<()> = done();
        assert!(matches!(nothing.get(), Err(TaskError::Failed(_))));
        let one: TaskResult<i32> = backwards();
        assert_eq!(one.get().unwrap(), 1);
    }

    #[test]
    fn a_type_with_result_in_its_name_that_is_none_is_a_value() {
        #[derive(Debug, PartialEq)]
        struct TestResult {
            passed: bool,
        }
        #[task(HUEY)]
        fn check(passed: bool) -> TestResult {
            TestResult { passed }
        }
        let result: TaskResult<TestResult> = check(false);
        assert_eq!(result.get().unwrap(), TestResult { passed: false });
    }

    #[test]
    fn any_error_that_can_be_printed_will_do() {
        #[task(HUEY)]
        fn text() -> Result<(), String> {
            Err("text".to_owned())
        }
        #[task(HUEY)]
        fn boxed() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            Err("boxed".into())
        }
        assert_eq!(text().get().unwrap_err().downcast::<String>().unwrap(), "text");
        assert!(boxed().get().unwrap_err().to_string().ends_with("boxed"));
    }

    #[test]
    fn an_option_and_a_nested_result_are_values() {
        #[task(HUEY)]
        fn option() -> Option<i32> {
            None
        }
        #[task(HUEY)]
        fn nested() -> Result<Result<i32, String>, String> {
            Ok(Err("inner".to_owned()))
        }
        assert_eq!(option().get().unwrap(), None);
        assert_eq!(nested().get().unwrap(), Err("inner".to_owned()));
    }

    #[test]
    fn a_panic_names_the_task() {
        #[task(HUEY)]
        fn breaks() -> i32 {
            panic!("on purpose")
        }
        let TaskError::Panicked(panic) = breaks().get().unwrap_err() else { panic!("no panic") };
        assert_eq!(
            (panic.task(), panic.message()),
            ("it::task_macro::errors::breaks", "on purpose")
        );
    }
}

mod signatures {
    use super::*;

    #[test]
    fn a_task_may_take_nothing_and_give_nothing() {
        #[task(HUEY)]
        fn nothing() {}
        let unit: TaskResult<()> = nothing();
        unit.get().unwrap();
        nothing::schedule((), Duration::ZERO).get().unwrap();
        assert_eq!(nothing::map([(), ()]).len(), 2);
        nothing::call_local();
    }

    #[test]
    fn a_task_may_take_more_than_a_closure_could() {
        #[task(HUEY)]
        #[expect(clippy::too_many_arguments)]
        fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8) -> u8 {
            a + b + c + d + e + f + g + h + i + j
        }
        assert_eq!(many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10).get().unwrap(), 55);
        let scheduled = many::schedule((1, 2, 3, 4, 5, 6, 7, 8, 9, 10), Duration::ZERO);
        assert_eq!(scheduled.get().unwrap(), 55);
    }

    #[test]
    fn mut_parameters_stay_mut_in_the_body() {
        #[task(HUEY)]
        fn sorted(mut numbers: Vec<i32>) -> Vec<i32> {
            numbers.sort();
            numbers
        }
        assert_eq!(sorted(vec![3, 1, 2]).get().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn arguments_and_values_may_be_of_any_owned_type() {
        struct Shared(Arc<Mutex<i32>>);

        #[task(HUEY)]
        fn owned(
            text: &'static str,
            shared: Shared,
            call: fn(&str) -> usize,
            boxed: Box<dyn Fn(&i32) -> i32 + Send>,
        ) -> HashMap<&'static str, i32> {
            let mut shared = shared.0.lock().unwrap();
            *shared += boxed(&1) + call(text) as i32;
            HashMap::from([(text, *shared)])
        }
        let shared = Arc::new(Mutex::new(1));
        let result = owned("four", Shared(shared.clone()), str::len, Box::new(|number| number + 1));
        assert_eq!(result.get().unwrap()["four"], 7);
        assert_eq!(*shared.lock().unwrap(), 7);
    }

    #[test]
    fn types_mean_in_the_task_what_they_mean_beside_it() {
        mod outer {
            #[derive(Debug, PartialEq)]
            pub(super) struct Number(pub(super) i32);

            pub(super) mod inner {
                #![allow(unused_qualifications)]

                struct Private(i32);

                #[minihuey::task(super::super::super::HUEY)]
                pub(in super::super) fn number(n: super::Number, plus: i32) -> super::Number {
                    let plus = unwrap(Private(plus)).get().unwrap();
                    super::Number(n.0 + plus)
                }

                #[minihuey::task(super::super::super::HUEY)]
                fn unwrap(private: self::Private) -> i32 {
                    private.0
                }
            }
        }
        let number = outer::inner::number(outer::Number(1), 2);
        assert_eq!(number.get().unwrap(), outer::Number(3));
    }

    #[test]
    fn a_task_may_be_as_visible_as_it_likes() {
        mod shown {
            use super::HUEY;
            use minihuey::task;

            #[task(HUEY)]
            pub(crate) fn in_crate() -> i32 {
                private::call_local() + private().get().unwrap()
            }
            #[task(HUEY)]
            pub(super) fn in_super() -> i32 {
                2
            }
            #[task(HUEY)]
            pub(in super::super) fn in_path() -> i32 {
                3
            }
            #[task(HUEY)]
            pub(self) fn in_self() -> i32 {
                4
            }
            #[task(HUEY)]
            fn private() -> i32 {
                in_self::call_local()
            }
        }
        assert_eq!(shown::in_crate().get().unwrap(), 8);
        assert_eq!(shown::in_super::call_local(), 2);
        assert_eq!(shown::in_path::call_local(), 3);
    }

    #[test]
    fn a_task_may_call_itself_and_others() {
        #[task(HUEY)]
        fn factorial(n: u64) -> u64 {
            if n == 0 { 1 } else { n * factorial(n - 1).get().unwrap() }
        }
        assert_eq!(factorial(10).get().unwrap(), 3_628_800);
    }

    #[test]
    fn a_macro_may_make_tasks() {
        macro_rules! tasks {
            ($($name:ident($($given:ident: $of:ty),*) -> $gives:ty $body:block)*) => {
                $(#[task(HUEY)] fn $name($($given: $of),*) -> $gives $body)*
            };
        }
        tasks! {
            one_more(n: i32) -> i32 { n + 1 }
            sum(a: i32, b: i32) -> i32 { a + b }
        }
        assert_eq!((one_more(1).get().unwrap(), sum(1, 2).get().unwrap()), (2, 3));
    }
}

mod attributes {
    use super::*;

    /// What is not here is not missed, and what is documented is documented.
    #[allow(unreachable_pub)]
    pub mod documented {
        #![deny(missing_docs)]

        /// Is there.
        #[minihuey::task(super::HUEY)]
        #[must_use = "it is the point"]
        #[inline]
        pub fn present() -> i32 {
            1
        }

        #[minihuey::task(super::HUEY)]
        #[cfg(any())]
        /// Is not, and has types that aren't either.
        pub fn absent(nothing: NoSuchType) -> NoSuchType {
            no_such_function(nothing)
        }

        #[cfg(any())]
        #[minihuey::task(no_such_huey)]
        pub fn absent() {}

        /// Takes the place of the absent one.
        #[cfg_attr(all(), minihuey::task(super::HUEY))]
        #[cfg_attr(all(), doc = "Has more to say.")]
        #[cfg_attr(all(), allow(unused_variables))]
        pub fn absent(unused: i32) -> i32 {
            2
        }

        /// Is in nobody's way until it is used.
        #[minihuey::task(super::HUEY)]
        #[deprecated = "use `present`"]
        pub fn old() -> i32 {
            3
        }
    }

    #[test]
    fn cfg_and_docs_and_lints_are_kept() {
        assert_eq!(documented::present().get().unwrap(), 1);
        assert_eq!(documented::absent::call_local(0), 2);
        #[expect(deprecated)]
        let old = documented::old();
        assert_eq!(old.get().unwrap(), 3);
        #[expect(deprecated)]
        let old = documented::old::call_local();
        assert_eq!(old, 3);
        #[expect(unused_must_use)]
        {
            documented::present::call_local();
        }
    }

    #[test]
    fn a_task_that_nobody_calls_is_no_warning() {
        #[task(HUEY)]
        fn lonely() {}
        #[task(HUEY)]
        fn only_scheduled() {}
        let _later = only_scheduled::schedule((), Duration::from_secs(86_400 * 3650));
    }
}

/// Far from the huey that runs it, and from the test that looks.
mod far_away {
    use super::*;

    static DONE: Mutex<Option<Sender<&'static str>>> = Mutex::new(None);
    static CLOCK: Lazy<ManualClock> =
        Lazy::new(|| ManualClock::at("2026-03-01T03:59:30Z".parse().unwrap()));
    static PERIODIC: Lazy<MiniHuey> =
        Lazy::new(|| MiniHuey::builder("periodic").clock(&*CLOCK).build());

    fn done(what: &'static str) {
        if let Some(sender) = &*DONE.lock().unwrap() {
            sender.send(what).unwrap();
        }
    }

    mod tasks {
        use super::*;

        #[task(PERIODIC, crontab(minute = "0", hour = 4, tz = Utc))]
        pub(super) fn at_four() {
            done("at_four");
        }

        #[task(PERIODIC, cron("15 * * * * *"), overlap = "queue")]
        fn seconds() -> Result<(), String> {
            done("seconds");
            Err("only logged".to_owned())
        }

        #[task(PERIODIC, crontab("1 4 * * SUN", tz = chrono_tz::Europe::London), overlap = "skip")]
        fn on_sunday() {
            done("on_sunday");
        }

        #[task(PERIODIC, when = at_two)]
        fn predicate() {
            done("predicate");
        }

        fn at_two(now: &DateTime<Local>) -> bool {
            now.to_utc() == "2026-03-01T04:02:00Z".parse::<DateTime<Utc>>().unwrap()
        }
    }

    #[track_caller]
    fn assert_runs(received: &Receiver<&'static str>, mut expected: Vec<&'static str>) {
        let mut ran: Vec<_> =
            expected.iter().map(|_| received.recv_timeout(GENEROUS).unwrap()).collect();
        ran.sort();
        expected.sort();
        assert_eq!(ran, expected);
    }

    #[test]
    fn periodic_tasks_declared_anywhere_run_once_their_huey_starts() {
        let (sender, received) = channel();
        *DONE.lock().unwrap() = Some(sender);
        PERIODIC.start().unwrap();
        CLOCK.advance(Duration::from_secs(30)); // 04:00:00
        assert_runs(&received, vec!["at_four"]);
        CLOCK.advance(Duration::from_secs(15)); // 04:00:15
        assert_runs(&received, vec!["seconds"]);
        CLOCK.advance(Duration::from_secs(45)); // 04:01:00
        assert_runs(&received, vec!["on_sunday"]);
        CLOCK.advance(Duration::from_secs(60)); // 04:02:00, and 04:01:15 is too long ago
        assert_runs(&received, vec!["predicate", "seconds"]);
        // By hand too.
        tasks::at_four().get().unwrap();
        assert_runs(&received, vec!["at_four"]);
        tasks::at_four::schedule((), Duration::ZERO).get().unwrap();
        assert_runs(&received, vec!["at_four"]);
        tasks::at_four::call_local();
        assert_runs(&received, vec!["at_four"]);
        assert!(received.try_recv().is_err());
    }
}

#[test]
fn a_huey_that_starts_in_its_own_initialiser_finds_its_tasks() {
    static RUNS: Mutex<Option<Sender<()>>> = Mutex::new(None);
    static CLOCK: Lazy<ManualClock> =
        Lazy::new(|| ManualClock::at("2026-03-01T03:59:30Z".parse().unwrap()));
    static STARTED: LazyLock<MiniHuey> = LazyLock::new(|| {
        let huey = MiniHuey::builder("started").clock(&*CLOCK).build();
        huey.start().unwrap();
        huey
    });

    #[task(STARTED, crontab())]
    fn every_minute() {
        if let Some(sender) = &*RUNS.lock().unwrap() {
            sender.send(()).unwrap();
        }
    }
    let (sender, runs) = channel();
    *RUNS.lock().unwrap() = Some(sender);
    assert!(STARTED.is_started());
    // Nobody says when it has looked again: a minute after it has, the task runs.
    let first = (0..600).find_map(|_| {
        CLOCK.advance(Duration::from_secs(60));
        runs.recv_timeout(Duration::from_millis(100)).ok()
    });
    assert!(first.is_some());
}

#[test]
fn a_huey_may_be_in_a_lazy_of_once_cell_or_of_std() {
    static CELL: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("cell"));
    static STD: LazyLock<MiniHuey> = LazyLock::new(|| MiniHuey::new("std"));

    #[task(CELL)]
    fn in_cell() -> i32 {
        1
    }
    #[task(STD)]
    fn in_std() -> i32 {
        2
    }
    assert_eq!(in_cell().get().unwrap() + in_std().get().unwrap(), 3);
    CELL.start().unwrap();
    STD.start().unwrap();
}

#[test]
fn two_tasks_with_one_name_are_reported_by_start() {
    static TWICE: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("twice"));

    #[task(TWICE, name = "the-same")]
    fn one() {}
    #[task(TWICE, name = "the-same")]
    fn other() {}
    let error = TWICE.start().unwrap_err();
    assert!(matches!(&error, Error::Misconfigured(what) if what.contains("the-same")), "{error}");
}

#[test]
fn every_overlap_can_be_written() {
    static OVERLAPS: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("overlaps"));

    #[task(OVERLAPS, crontab(minute = "*/5"), overlap = "beside")]
    fn beside() {}
    #[task(OVERLAPS, overlap = "skip", crontab(minute = "*/5"))]
    fn skip() {}
    #[task(OVERLAPS, cron("0 */5 * * * *"), overlap = "queue", name = "queue-it")]
    fn queue() {}
    OVERLAPS.start().unwrap();
    assert_eq!(Overlap::default(), Overlap::Beside);
}

mod crontabs {
    use super::*;
    use minihuey::Crontab;

    const CONSTANT: Crontab = crontab!(minute = 0);

    fn line(text: &str) -> Crontab {
        text.parse().unwrap()
    }

    #[test]
    fn a_crontab_of_literals_is_a_constant() {
        assert_eq!(CONSTANT, line("0 * * * *"));
        const LINE: Crontab = crontab!("*/10 * * * * *");
        assert_eq!(LINE, line("*/10 * * * * *"));
    }

    #[test]
    fn fields_are_strings_or_numbers_and_every_value_where_not_given() {
        assert_eq!(crontab!(), Crontab::every_minute());
        assert_eq!(crontab!(minute = "*/5"), line("*/5 * * * *"));
        assert_eq!(crontab!(hour = 4, minute = "0"), line("0 4 * * *"));
        let all = crontab!(
            second = 30,
            minute = 1,
            hour = "2-4",
            day = 5,
            month = "jun",
            day_of_week = "MON-FRI",
        );
        assert_eq!(all, line("30 1 2-4 5 6 1-5"));
    }

    #[test]
    fn a_line_has_five_or_six_fields() {
        assert_eq!(crontab!("0 4 * * MON-FRI"), line("0 4 * * 1-5"));
        assert_eq!(crontab!("*/10 * * * * *"), line("*/10 * * * * *"));
        assert_eq!(crontab!(r"0 */2 * * *"), line("0 */2 * * *"));
    }

    #[test]
    fn an_open_hour_stays_open() {
        let clock: DateTime<chrono_tz::Tz> = "2026-10-25T00:30:00Z"
            .parse::<DateTime<Utc>>()
            .unwrap()
            .with_timezone(&chrono_tz::Europe::Berlin);
        let hour_later = clock + Duration::from_secs(3600);
        // 02:30, twice.
        assert!(crontab!(minute = 30).fires_at(&hour_later));
        assert!(!crontab!(minute = 30, hour = "2").fires_at(&hour_later));
    }

    #[test]
    fn a_time_zone_may_be_any_expression() {
        let berlin = chrono_tz::Europe::Berlin;
        let noon_there: DateTime<Utc> = "2026-01-01T11:00:00Z".parse().unwrap();
        for crontab in [
            crontab!(minute = 0, hour = 12, tz = chrono_tz::Europe::Berlin),
            crontab!(tz = berlin, hour = 12, minute = 0),
            crontab!("0 12 * * *", tz = berlin),
        ] {
            assert!(crontab.matches(&noon_there));
        }
    }
}
