//! A result in async code, on any executor.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use minihuey::{MiniHuey, TaskError, green, group};

use crate::support::{hold, until};

#[test]
fn a_result_can_be_awaited() {
    let huey = MiniHuey::new("await");
    let nap = huey.task("nap", |n: u32| {
        green::sleep(Duration::from_millis(5));
        n
    });
    let fail = huey.try_task("fail", || Err::<(), _>("no"));
    pollster::block_on(async {
        assert_eq!(nap.call((3,)).await.unwrap(), 3);
        assert!(matches!(fail.call(()).await, Err(TaskError::Failed(_))));
        assert_eq!(nap.map([(1,), (2,)]).await.unwrap(), [1, 2]);
        assert_eq!(group([nap.call((4,))]).await.unwrap(), [4]);
    });
}

#[test]
fn only_the_last_waker_is_woken() {
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let huey = MiniHuey::new("wakers");
    let (hold, gate, _) = hold(&huey);
    let mut result = pin!(hold.call(()));
    let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
    for waker in [&first, &last] {
        let waker = Waker::from(waker.clone());
        assert!(result.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    gate.open();
    until("the last waker is woken", || last.0.load(Ordering::SeqCst) > 0);
    assert_eq!(first.0.load(Ordering::SeqCst), 0);
    let ready = result.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(ready, Poll::Ready(Ok(()))));
}

#[test]
fn async_code_can_call_and_a_dropped_future_changes_nothing() {
    let huey = MiniHuey::new("dropped");
    let (sender, receiver) = std::sync::mpsc::channel();
    let send = huey.task("send", move |n: u32| sender.send(n).unwrap());
    let mut result = send.call((9,));
    let _ = pin!(&mut result).poll(&mut Context::from_waker(Waker::noop()));
    drop(result);
    assert_eq!(crate::support::next(&receiver), 9);
}
