//! `select!`: the form of `Select` for operations that are known when it is written.
//!
//! One arm after another is moved from the rest to the list of cases (`@arms`), each with names of
//! its own for its end and its index, which are different variables although they are spelt alike.
//! Then `@run` adds all of them to a `Select`, waits, and goes on in the arm that was selected, in
//! the caller's own function, so that `?`, `break` and `return` do there what they say.

/// Waits for several operations on channels, does one that is possible, and goes on in its arm.
///
/// ```
/// use minihuey::{green, sync::{channel::unbounded, select}};
///
/// let (jobs, todo) = unbounded::<u32>();
/// let (stop, stopped) = unbounded::<()>();
/// let worker = green::spawn(move || {
///     let mut sum = 0;
///     loop {
///         select! {
///             recv(todo) -> job => sum += job.unwrap(),
///             recv(stopped) -> _ => break sum,
///         }
///     }
/// });
/// for job in 1..=3 {
///     jobs.send(job).unwrap();
/// }
/// # while !jobs.is_empty() { green::yield_now() }
/// stop.send(()).unwrap();
/// assert_eq!(worker.join().unwrap(), 6);
/// ```
///
/// The arms, with crossbeam-channel's syntax:
///
/// - `recv(receiver) -> result => …`, where `result` is a pattern for what
///   [`recv`](super::channel::Receiver::recv) gives;
/// - `send(sender, message) -> result => …`, for what [`send`](super::channel::Sender::send) gives.
///   The message is made only if this arm is selected, so it may be moved there;
/// - `default => …` if no operation is possible at once;
/// - `default(timeout) => …` if none is within this time.
///
/// An operation is possible if it need not wait, be it because the other end is gone: then it gives
/// its error. Among several that are possible at once, each has its turn; with
/// [`select_biased!`](super::select_biased) the first one is done.
///
/// To wait is a point where a cancelled task unwinds. With [`after`](super::channel::after),
/// [`at`](super::channel::at), [`tick`](super::channel::tick) and [`never`](super::channel::never)
/// time is one of the channels:
///
/// ```
/// use minihuey::sync::{channel::{after, bounded, tick}, select};
/// use std::time::Duration;
///
/// let (sender, receiver) = bounded(1);
/// let ticks = tick(Duration::from_millis(5));
/// let over = after(Duration::from_secs(60));
/// let mut sent = 0;
/// while sent < 3 {
///     select! {
///         send(sender, sent) -> result => {
///             result?;
///             sent += 1;
///         }
///         recv(ticks) -> _ => drop(receiver.try_recv()),          // room for the next
///         recv(over) -> _ => panic!("a minute is over"),
///     }
/// }
/// select! {
///     recv(receiver) -> last => assert_eq!(last, Ok(2)),
///     default => panic!("it is there"),
/// }
/// # Ok::<(), minihuey::sync::channel::SendError<u32>>(())
/// ```
///
/// Where the capacity is 0, a sender that selects makes its message when it has met a receiver,
/// which waits for it: even `try_recv` does, and a `select!` with a `default`.
#[macro_export]
#[doc(hidden)]
macro_rules! __select {
    () => {
        ::core::compile_error!("expected at least one arm")
    };
    ($($arms:tt)*) => {
        $crate::__select_arms!(@arms (new) () () $($arms)*)
    };
}

/// As [`select!`](macro@super::select), but of several operations that are possible it does the
/// first one.
///
/// ```
/// use minihuey::sync::{channel::unbounded, select_biased};
///
/// let (sender, urgent) = unbounded();
/// let (_other, normal) = unbounded::<u32>();
/// sender.send(1).unwrap();
/// select_biased! {
///     recv(urgent) -> job => assert_eq!(job, Ok(1)),
///     recv(normal) -> job => unreachable!("{job:?}"),
/// }
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __select_biased {
    () => {
        ::core::compile_error!("expected at least one arm")
    };
    ($($arms:tt)*) => {
        $crate::__select_arms!(@arms (new_biased) () () $($arms)*)
    };
}

#[macro_export]
#[doc(hidden)]
macro_rules! __select_arms {
    // (how to make the Select) (the cases) (the default) the arms that are left
    (@arms $new:tt $cases:tt $default:tt) => {
        $crate::__select_arms!(@ends $new $cases $default $cases)
    };
    // An arm's body ends with a comma, with its closing brace, or with the macro.
    (@arms $new:tt $cases:tt $default:tt
        $kind:ident $(($($args:tt)*))? $(-> $result:pat)? => $body:block, $($rest:tt)*
    ) => {
        $crate::__select_arms!(
            @arm $new $cases $default ($kind $(($($args)*))? $(-> $result)? => $body) $($rest)*
        )
    };
    (@arms $new:tt $cases:tt $default:tt
        $kind:ident $(($($args:tt)*))? $(-> $result:pat)? => $body:block $($rest:tt)*
    ) => {
        $crate::__select_arms!(
            @arm $new $cases $default ($kind $(($($args)*))? $(-> $result)? => $body) $($rest)*
        )
    };
    (@arms $new:tt $cases:tt $default:tt
        $kind:ident $(($($args:tt)*))? $(-> $result:pat)? => $body:expr, $($rest:tt)*
    ) => {
        $crate::__select_arms!(
            @arm $new $cases $default ($kind $(($($args)*))? $(-> $result)? => $body) $($rest)*
        )
    };
    (@arms $new:tt $cases:tt $default:tt
        $kind:ident $(($($args:tt)*))? $(-> $result:pat)? => $body:expr
    ) => {
        $crate::__select_arms!(
            @arm $new $cases $default ($kind $(($($args)*))? $(-> $result)? => $body)
        )
    };
    (@arms $new:tt $cases:tt $default:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(receiver) -> result => …`, `send(sender, message) -> result => …`, ",
            "`default => …` or `default(timeout) => …`, found `", ::core::stringify!($($rest)*), "`"
        ))
    };

    (@arm $new:tt ($($cases:tt)*) $default:tt
        (recv($receiver:expr $(,)?) -> $result:pat => $body:expr) $($rest:tt)*
    ) => {
        $crate::__select_arms!(
            @arms $new ($($cases)* (recv, end, index, $receiver, (), $result, $body)) $default
            $($rest)*
        )
    };
    (@arm $new:tt ($($cases:tt)*) $default:tt
        (send($sender:expr, $message:expr $(,)?) -> $result:pat => $body:expr) $($rest:tt)*
    ) => {
        $crate::__select_arms!(
            @arms $new ($($cases)* (send, end, index, $sender, (, $message), $result, $body)) $default
            $($rest)*
        )
    };
    (@arm $new:tt $cases:tt () (default $(())? => $body:expr) $($rest:tt)*) => {
        $crate::__select_arms!(@arms $new $cases (try_select(), $body) $($rest)*)
    };
    (@arm $new:tt $cases:tt () (default($timeout:expr $(,)?) => $body:expr) $($rest:tt)*) => {
        $crate::__select_arms!(@arms $new $cases (select_timeout($timeout), $body) $($rest)*)
    };
    (@arm $new:tt $cases:tt ($($default:tt)+) (default $($arm:tt)*) $($rest:tt)*) => {
        ::core::compile_error!("expected one `default`, found another")
    };
    (@arm $new:tt $cases:tt $default:tt ($($arm:tt)*) $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(receiver) -> result => …`, `send(sender, message) -> result => …`, ",
            "`default => …` or `default(timeout) => …`, found `", ::core::stringify!($($arm)*), "`"
        ))
    };

    // One `match` for each end, so that temporaries live as long as the whole.
    (@ends $new:tt $cases:tt $default:tt
        ((recv, $end:ident, $index:ident, $receiver:expr, $($case:tt)*) $($ends:tt)*)
    ) => {
        match $receiver {
            ref $end => {
                let $end: &$crate::sync::channel::Receiver<_> = $end;
                $crate::__select_arms!(@ends $new $cases $default ($($ends)*))
            }
        }
    };
    (@ends $new:tt $cases:tt $default:tt
        ((send, $end:ident, $index:ident, $sender:expr, $($case:tt)*) $($ends:tt)*)
    ) => {
        match $sender {
            ref $end => {
                let $end: &$crate::sync::channel::Sender<_> = $end;
                $crate::__select_arms!(@ends $new $cases $default ($($ends)*))
            }
        }
    };
    (@ends ($new:ident) $cases:tt $default:tt ()) => {{
        let mut select = $crate::sync::Select::$new();
        $crate::__select_arms!(@run select $cases $cases $default)
    }};

    (@run $select:ident
        (($kind:ident, $end:ident, $index:ident, $($case:tt)*) $($adds:tt)*) $cases:tt $default:tt
    ) => {{
        let $index = $select.$kind($end);
        $crate::__select_arms!(@run $select ($($adds)*) $cases $default)
    }};
    (@run $select:ident () $cases:tt ()) => {{
        let operation = $select.select();
        $crate::__select_arms!(@body operation $cases)
    }};
    (@run $select:ident () $cases:tt ($how:ident($($timeout:expr)?), $default:expr)) => {
        match $select.$how($($timeout)?) {
            ::core::result::Result::Ok(operation) => {
                $crate::__select_arms!(@body operation $cases)
            }
            ::core::result::Result::Err(_) => $default,
        }
    };
    (@body $operation:ident
        ($(($kind:ident, $end:ident, $index:ident, $_end:expr, ($($message:tt)*), $result:pat, $body:expr))*)
    ) => {
        $(
            if $operation.index() == $index {
                match $operation.$kind($end $($message)*) {
                    $result => $body,
                }
            } else
        )*
        {
            // Of no case: there are none, or this would be one of them.
            ::core::unreachable!()
        }
    };
}
