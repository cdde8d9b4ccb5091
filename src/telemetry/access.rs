//! The access log: a buffer for each worker, and one thread that writes them out.
//!
//! A worker appends to memory that only it uses and never waits: when standard output does not keep up, lines
//! are dropped and counted rather than requests delayed. Lines of different workers are therefore in order by
//! worker, not by time. Called by `gateway` for each request.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::line::AccessLine;
use super::{Access, Format, Settings};

/// How long a line waits at most.
const INTERVAL: Duration = Duration::from_millis(250);
/// How full a buffer gets before the writer is called.
const FULL: usize = 64 * 1024;
/// How full a buffer gets before lines are dropped.
const OVERFULL: usize = 1024 * 1024;
/// How long the end of the process waits for a reader of standard output.
const LAST_WORDS: Duration = Duration::from_secs(2);

const SECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");

/// The access log of one process.
pub struct AccessLog {
    desk: Option<Arc<Desk>>,
    writer: Mutex<Option<Writer>>,
}

/// What workers and writer share.
struct Desk {
    format: Format,
    trays: Mutex<Vec<Arc<Mutex<Tray>>>>,
    dropped: AtomicU64,
}

/// The lines of one worker that are not written yet.
#[derive(Default)]
struct Tray {
    lines: Vec<u8>,
    second: u64,
    stamp: String,
}

struct Writer {
    thread: Thread,
    stop: SyncSender<()>,
    done: Receiver<()>,
}

impl AccessLog {
    /// Begins the log on standard output; [`Access::Off`] keeps none.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        Self::start_on(settings, io::stdout())
    }

    /// The same, written to `sink`.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start_on(settings: &Settings, sink: impl Write + Send + 'static) -> io::Result<Self> {
        if settings.access == Access::Off {
            return Ok(Self { desk: None, writer: Mutex::new(None) });
        }
        let desk = Arc::new(Desk { format: settings.format, trays: Mutex::default(), dropped: AtomicU64::new(0) });
        let (stop, stopped) = sync_channel(1);
        let (tell_done, done) = sync_channel(1);
        let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn({
            let desk = Arc::clone(&desk);
            move || {
                desk.write_out(sink, &stopped);
                // Nobody waits any more when this fails.
                let _ = tell_done.send(());
            }
        })?;
        let writer = Writer { thread: thread.thread().clone(), stop, done };
        Ok(Self { desk: Some(desk), writer: Mutex::new(Some(writer)) })
    }

    /// A buffer for one worker.
    pub fn worker(&self) -> AccessWriter {
        let Some(desk) = &self.desk else { return AccessWriter { tray: None } };
        let tray = Arc::new(Mutex::new(Tray::default()));
        lock(&desk.trays).push(Arc::clone(&tray));
        let thread = lock(&self.writer).as_ref().map(|writer| writer.thread.clone());
        AccessWriter { tray: Some(Attached { tray, desk: Arc::clone(desk), thread }) }
    }

    /// How many lines were lost because standard output did not keep up.
    pub fn dropped(&self) -> u64 {
        self.desk.as_ref().map_or(0, |desk| desk.dropped.load(Ordering::Relaxed))
    }

    /// Writes what is left and ends the thread; lines that come later are lost. Waits two seconds at most.
    pub fn stop(&self) {
        let Some(writer) = lock(&self.writer).take() else { return };
        // Fails only when the thread has ended.
        let _ = writer.stop.try_send(());
        writer.thread.unpark();
        let _ = writer.done.recv_timeout(LAST_WORDS);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Desk {
    fn write_out(&self, mut sink: impl Write, stopped: &Receiver<()>) {
        let mut batch = Vec::new();
        loop {
            std::thread::park_timeout(INTERVAL);
            let stop = !matches!(stopped.try_recv(), Err(TryRecvError::Empty));
            let trays: Vec<_> = lock(&self.trays).clone();
            for tray in trays {
                batch.clear();
                std::mem::swap(&mut batch, &mut lock(&tray).lines);
                // A closed standard output is no reason to stop serving; there is nowhere left to say so.
                let _ = sink.write_all(&batch);
            }
            let _ = sink.flush();
            if stop {
                return;
            }
        }
    }
}

/// A worker's end of the access log.
pub struct AccessWriter {
    tray: Option<Attached>,
}

struct Attached {
    tray: Arc<Mutex<Tray>>,
    desk: Arc<Desk>,
    thread: Option<Thread>,
}

impl AccessWriter {
    /// Notes one request.
    pub fn write(&self, line: &AccessLine<'_>) {
        let Some(attached) = &self.tray else { return };
        let mut tray = lock(&attached.tray);
        if tray.lines.len() >= OVERFULL {
            attached.desk.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = tray.lines.len();
        let Tray { lines, second, stamp } = &mut *tray;
        let time = stamp_at(line.time, second, stamp);
        line.write(attached.desk.format, time, lines);
        let is_full = before < FULL && lines.len() >= FULL;
        // Woken before, the writer would find it locked and sleep again.
        drop(tray);
        if is_full && let Some(thread) = &attached.thread {
            thread.unpark();
        }
    }
}

/// The moment in RFC 3339 with milliseconds; the part that is the same for a second is kept in `stamp`.
fn stamp_at<'a>(now: SystemTime, second: &mut u64, stamp: &'a mut String) -> &'a str {
    // A clock before 1970 shows 1970.
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if stamp.is_empty() || *second != since.as_secs() {
        *second = since.as_secs();
        *stamp = OffsetDateTime::from(UNIX_EPOCH + since).format(&SECONDS).unwrap_or_default();
    }
    stamp.truncate(19);
    stamp.push('.');
    for place in [100, 10, 1] {
        stamp.push(char::from_digit(since.subsec_millis() / place % 10, 10).unwrap_or('0'));
    }
    stamp.push('Z');
    stamp
}

/// A panic elsewhere leaves bytes that are still lines.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::super::request_id::RequestIds;
    use super::*;

    /// Collects what is written, and holds the writer while somebody holds it.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn settings() -> Settings {
        Settings { format: Format::Json, ..Settings::default() }
    }

    #[test]
    fn everything_noted_is_written_before_the_end() {
        let sink = Sink::default();
        let log = AccessLog::start_on(&settings(), sink.clone()).unwrap();
        let ids = RequestIds::new().unwrap();
        let workers = [log.worker(), log.worker()];
        for worker in &workers {
            for _ in 0..1000 {
                worker.write(&line(ids.next(), "/", None));
            }
        }
        log.stop();
        let written = String::from_utf8(lock(&sink.0).clone()).unwrap();
        assert_eq!(written.lines().count(), 2000);
        for written in written.lines() {
            let _: serde_json::Value = serde_json::from_str(written).unwrap();
        }
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn a_full_buffer_is_written_without_waiting() {
        let sink = Sink::default();
        let log = AccessLog::start_on(&settings(), sink.clone()).unwrap();
        let worker = log.worker();
        let ids = RequestIds::new().unwrap();
        let path = "a".repeat(2000);
        while lock(&sink.0).is_empty() {
            worker.write(&line(ids.next(), &path, None));
        }
    }

    #[test]
    fn a_reader_that_does_not_keep_up_costs_lines_and_not_requests() {
        let sink = Sink::default();
        let log = AccessLog::start_on(&settings(), sink.clone()).unwrap();
        let worker = log.worker();
        let ids = RequestIds::new().unwrap();
        let path = "a".repeat(2000);
        let stuck = lock(&sink.0);
        while log.dropped() == 0 {
            worker.write(&line(ids.next(), &path, None));
        }
        drop(stuck);
        log.stop();
        assert!(lock(&sink.0).ends_with(b"}\n"), "what was kept is whole");
    }

    #[test]
    fn no_access_log_is_none() {
        let sink = Sink::default();
        let log = AccessLog::start_on(&Settings { access: Access::Off, ..settings() }, sink.clone()).unwrap();
        log.worker().write(&line(RequestIds::new().unwrap().next(), "/", None));
        log.stop();
        assert!(lock(&sink.0).is_empty());
    }

    #[test]
    fn the_stamp_changes_with_the_second_and_within_it() {
        let (mut second, mut stamp) = (0, String::new());
        let mut at = |millis| stamp_at(UNIX_EPOCH + Duration::from_millis(millis), &mut second, &mut stamp).to_owned();
        assert_eq!(at(5), "1970-01-01T00:00:00.005Z");
        assert_eq!(at(999), "1970-01-01T00:00:00.999Z");
        assert_eq!(at(1000), "1970-01-01T00:00:01.000Z");
        assert_eq!(at(1_795_302_242_123), "2026-11-21T23:04:02.123Z");
    }
}
