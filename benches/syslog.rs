//! What receiving syslog over TCP costs: kband with its sshd filter beside a daemon that only writes a file, and beside
//! a socket that is only read.
//!
//! `cargo bench --bench syslog [-- MESSAGES]`

mod live;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use live::{Kband, Outcome, line, now, percentile, report_size, until};

/// How often each is measured.
const RUNS: usize = 5;
/// One message of so many is a failure; all are of sshd.
const FAILING: u32 = 100;
const KBAND: &str = "127.0.0.1:5601";
const RSYSLOG: &str = "127.0.0.1:5602";

fn main() -> Outcome<()> {
    if !live::in_namespace()? {
        return Ok(());
    }
    let messages: u32 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let bytes = stream(messages);
    writeln!(
        std::io::stdout(),
        "{messages} messages, octet-counted, {} MB; the median of {RUNS}",
        bytes.len() / 1_000_000
    )?;
    let plain = median(|| plain(&bytes))?;
    told("a socket that is only read", messages, plain, plain)?;
    let mut kband = Kband::new(
        "maxretry = 1000000\nsource = \"edge\"\n[source.edge]\nsyslog = \"tcp://127.0.0.1:5601\"\n",
    )?;
    kband.start()?;
    kband.wait_until_it_answers()?;
    // The jail reads its file as well.
    kband.log(&line(0, &now()))?;
    until(|| Ok(received(&kband)? == 1))?;
    let mut expected = 1;
    let took = median(|| {
        expected += u64::from(messages);
        let begin = Instant::now();
        send(KBAND, &bytes)?;
        // Asking costs a process each time, which is little beside what is measured.
        until(|| Ok(received(&kband)? >= expected))?;
        Ok(begin.elapsed())
    })?;
    told("kband, filter and counting", messages, took, plain)?;
    report_size("its memory at its peak", kband.megabytes("VmHWM")?, 64.0)?;
    if kband.had_children()? {
        return Err("kband has started a program".into());
    }
    let Some(_rsyslogd) = Rsyslog::start(&kband)? else {
        return Ok(writeln!(
            std::io::stdout(),
            "rsyslogd IS MISSING: scripts/install-tools test installs it"
        )?);
    };
    let file = kband.path("written");
    let mut expected = 0;
    let took = median(|| {
        expected += u64::from(messages);
        let begin = Instant::now();
        send(RSYSLOG, &bytes)?;
        // Each message becomes a line of the same length.
        let line = fs::metadata(&file).map_or(0, |file| file.len());
        until(|| {
            std::thread::sleep(Duration::from_millis(5));
            let size = fs::metadata(&file)?.len();
            Ok(size > line && lines(&file)? >= expected)
        })?;
        Ok(begin.elapsed())
    })?;
    told("rsyslogd, imtcp to a file", messages, took, plain)
}

fn told(what: &str, messages: u32, took: Duration, plain: Duration) -> Outcome<()> {
    let each = f64::from(messages) / took.as_secs_f64();
    let times = took.as_secs_f64() / plain.as_secs_f64();
    writeln!(std::io::stdout(), "{what:<32} {took:>9.2?} {each:>12.0} a second  {times:>5.2} times reading")?;
    Ok(())
}

fn median(mut once: impl FnMut() -> Outcome<Duration>) -> Outcome<Duration> {
    let mut times = (0..RUNS).map(|_| once()).collect::<Outcome<Vec<_>>>()?;
    Ok(percentile(&mut times, 50))
}

fn stream(messages: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let now = now();
    for n in 0..messages {
        let message = match n % FAILING {
            0 => line(n % 1000, &now),
            _ => format!(
                "{now} host sshd[{n}]: pam_unix(sshd:session): session opened for user deploy by (uid=0)\n"
            ),
        };
        let message = message.trim_end();
        bytes.extend_from_slice(format!("{} <38>{message}", message.len() + "<38>".len()).as_bytes());
    }
    bytes
}

fn send(to: &str, bytes: &[u8]) -> Outcome<()> {
    Ok(TcpStream::connect(to)?.write_all(bytes)?)
}

/// How long the same bytes take when nobody looks at them.
fn plain(bytes: &[u8]) -> Outcome<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?.to_string();
    let reader = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut chunk = vec![0; 64 * 1024];
        while stream.read(&mut chunk)? > 0 {}
        Ok(())
    });
    let begin = Instant::now();
    send(&to, bytes)?;
    reader.join().map_err(|_| "the reader has died")??;
    Ok(begin.elapsed())
}

/// How many messages kband has read.
fn received(kband: &Kband) -> Outcome<u64> {
    let mut banctl = Command::new(env!("CARGO_BIN_EXE_banctl"));
    let output =
        banctl.arg("--socket").arg(kband.path("run/control.sock")).args(["--json", "status"]).output()?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let sources = status.get("sources").and_then(serde_json::Value::as_array).ok_or("no sources")?;
    Ok(sources.iter().filter_map(|source| source.get("lines")?.as_u64()).sum())
}

fn lines(file: &std::path::Path) -> Outcome<u64> {
    Ok(memchr::memchr_iter(b'\n', &fs::read(file)?).count() as u64)
}

struct Rsyslog(Child);

impl Rsyslog {
    /// One that writes what it receives into the file `written`; `None` if there is none.
    fn start(kband: &Kband) -> Outcome<Option<Self>> {
        let (configuration, written) = (kband.path("rsyslog.conf"), kband.path("written"));
        let text = format!(
            "global(workDirectory={:?})\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"5602\" address=\"127.0.0.1\")\n\
             action(type=\"omfile\" file={written:?} template=\"RSYSLOG_FileFormat\" asyncWriting=\"on\" ioBufferSize=\"64k\" flushInterval=\"1\")\n",
            kband.dir.path()
        );
        fs::write(&configuration, text)?;
        let mut command = Command::new("rsyslogd");
        command.arg("-n").arg("-f").arg(&configuration).arg("-i").arg(kband.path("rsyslogd.pid"));
        match command.stdout(Stdio::null()).spawn() {
            Ok(child) => {
                until(|| Ok(TcpStream::connect(RSYSLOG).is_ok()))?;
                Ok(Some(Self(child)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
