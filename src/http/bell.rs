//! Which of the things that one task waits for has happened.
//!
//! A task is woken without a word of why, and asks everything that it waits for, each behind a lock. Whatever waits with
//! a bell of its own is asked only after it rang: one atomic load in place of the rest. Called by `server::quiet` and
//! `proxy::upgrade`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// Remembers whether it rang, and wakes its task when it does. One that nobody had yet has rung.
#[derive(Default)]
pub struct Bell(Option<(Arc<Rope>, Waker)>);

/// What is pulled.
struct Rope {
    rang: AtomicBool,
    task: Waker,
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Bell {
    /// What rings it and wakes the task of `cx`. Another task than before finds it rung.
    pub fn context(&mut self, cx: &Context<'_>) -> Context<'_> {
        Context::from_waker(&self.of(cx).1)
    }

    /// Whether it rang since this was last asked, or might have.
    pub fn has_rung(&mut self, cx: &Context<'_>) -> bool {
        let rang = &self.of(cx).0.rang;
        // To swap costs more, and has no part in most answers.
        rang.load(Ordering::Relaxed) && rang.swap(false, Ordering::AcqRel)
    }

    fn of(&mut self, cx: &Context<'_>) -> &(Arc<Rope>, Waker) {
        if self.0.as_ref().is_some_and(|(rope, _)| !rope.task.will_wake(cx.waker())) {
            self.0 = None;
        }
        self.0.get_or_insert_with(|| {
            let rope = Arc::new(Rope { rang: AtomicBool::new(true), task: cx.waker().clone() });
            let waker = Waker::from(Arc::clone(&rope));
            (rope, waker)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;

    /// Counts how often its task was woken.
    #[derive(Default)]
    struct Task(std::sync::atomic::AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_tells_once_that_it_rang_and_wakes_its_task() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let cx = Context::from_waker(&waker);
        let mut bell = Bell::default();
        assert!(bell.has_rung(&cx), "nobody could have rung it before");
        assert!(!bell.has_rung(&cx));
        let rope = bell.context(&cx).waker().clone();
        assert!(!bell.has_rung(&cx));
        rope.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(bell.has_rung(&cx));
        assert!(!bell.has_rung(&cx));
    }

    #[test]
    fn another_task_finds_it_rung() {
        let (one, other) = (Waker::from(Arc::new(Task::default())), noop_waker());
        let (one, other) = (Context::from_waker(&one), Context::from_waker(&other));
        let mut bell = Bell::default();
        assert!(bell.has_rung(&one) && !bell.has_rung(&one));
        assert!(bell.has_rung(&other) && !bell.has_rung(&other));
    }
}
