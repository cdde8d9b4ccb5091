//! Child processes: started, watched through `/proc`, and ended with us.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Which core a process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// Whichever it likes.
    Any,
    /// The one that is the proxy's alone.
    Proxy,
    /// The one for everything else.
    Rest,
}

/// A command that stays on its core and says nothing, unless told otherwise.
pub(crate) fn command(core: Core, program: &OsStr) -> Command {
    let list = match core {
        Core::Any => None,
        Core::Proxy => Some("0"),
        Core::Rest => Some("1"),
    };
    let mut command = Command::new(if list.is_some() { OsStr::new("taskset") } else { program });
    if let Some(list) = list {
        command.args(["-c", list]).arg(program);
    }
    command.stdout(Stdio::null());
    command
}

/// A server in a process of its own; it is killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Another server that it cannot do without: counted with it, and ended after it.
    companion: Option<Box<Server>>,
}

impl Server {
    /// Starts `command` and waits until `address` takes connections.
    pub(crate) fn start(command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        Self::start_until(command, address, Duration::from_millis(20), || TcpStream::connect(address).is_ok())
    }

    /// Starts `command` and asks again and again, with pauses of `between`, whether it is there.
    pub(crate) fn start_until(
        mut command: Command,
        address: SocketAddr,
        between: Duration,
        is_there: impl Fn() -> bool,
    ) -> anyhow::Result<Self> {
        // Its standard input is a pipe from us: our own parts end when we do, however we end.
        let child = command.stdin(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("starting {:?}", command.get_program()))?;
        let mut server = Self { child, address, companion: None };
        let patience = Instant::now() + Duration::from_secs(20);
        while !is_there() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{:?} ended at once: {status}", command.get_program());
            }
            if Instant::now() > patience {
                bail!("{:?} does not listen on {address}", command.get_program());
            }
            std::thread::sleep(between);
        }
        Ok(server)
    }

    /// Counts `companion` as a part of it.
    pub(crate) fn join(&mut self, companion: Self) {
        self.companion = Some(Box::new(companion));
    }

    /// CPU time that it and its children have used.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.family().into_iter().map(cpu_of).sum()
    }

    /// Resident memory of it and its children, in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        self.family().into_iter().map(|process| memory_of(process, "VmRSS:")).sum()
    }

    /// So much of that is programs and libraries, as they lie in their files.
    pub(crate) fn memory_of_files(&self) -> anyhow::Result<u64> {
        self.family().into_iter().map(|process| memory_of(process, "RssFile:")).sum()
    }

    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        family.extend(children.split_ascii_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        family.extend(self.companion.iter().flat_map(|companion| companion.family()));
        family
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master takes its workers along when it is asked, not when it is killed.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if asked.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// CPU time of a process. From the scheduler, in nanoseconds; from the coarser clock of `stat` where the kernel keeps
/// no such figures.
pub(crate) fn cpu_of(process: u32) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let line = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let nanos = line.split_ascii_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
        total += Duration::from_nanos(nanos);
    }
    if !total.is_zero() {
        return Ok(total);
    }
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|&field| fields.get(field)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

fn memory_of(process: u32, kind: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(kind)).with_context(|| format!("no {kind}"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// How many files and connections a process may have open.
pub(crate) fn most_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    soft.unwrap_or(1024)
}

/// A loopback address that nobody uses at the moment.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Ends this process when standard input does: the test itself holds the other end.
pub(crate) fn end_with_the_test() {
    std::thread::spawn(|| {
        let mut ignored = [0; 64];
        while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
        std::process::exit(0);
    });
}
