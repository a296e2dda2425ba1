//! Runs programs that print secrets. They get only `PATH` and `HOME` of the environment, have limits,
//! and are killed with all their children when they end, exceed a limit or are no longer waited for.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::BufMut as _;
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufWriter};
use tokio::process::{Child, ChildStdout, Command};

use super::token::{MAX_BYTES, Unreadable, text};

/// The output of a command.
pub(super) async fn run(words: &[String], limit: Duration) -> Result<Zeroizing<String>, Unreadable> {
    let (mut running, output) = Running::start(words, Stdio::null())?;
    let work = async {
        let (bytes, status) = tokio::try_join!(async { bounded(output).await? }, running.end())?;
        success(status)?;
        text(bytes)
    };
    timely(limit, work).await
}

/// The line that a command prints for each line that it reads.
pub(super) async fn filter(
    words: &[String],
    lines: &[String],
    limit: Duration,
) -> Result<Vec<Zeroizing<String>>, Unreadable> {
    let (mut running, output) = Running::start(words, Stdio::piped())?;
    let input = running.child.stdin.take();
    let write = async {
        let mut input = BufWriter::new(input.ok_or(Unreadable::Empty)?);
        for line in lines {
            let written = async {
                input.write_all(line.as_bytes()).await?;
                input.write_all(b"\n").await
            };
            // A command that ends early tells why by its exit code, and by what it has not answered.
            if written.await.is_err() {
                break;
            }
        }
        let _ = input.shutdown().await;
        Ok(())
    };
    let work = async {
        let ((), answers, status) = tokio::try_join!(write, answers(output, lines.len()), running.end())?;
        success(status)?;
        if answers.len() == lines.len() { Ok(answers) } else { Err(Unreadable::Unmatched) }
    };
    timely(limit, work).await
}

async fn timely<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Unreadable>>,
) -> Result<T, Unreadable> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Unreadable::TooSlow(limit.as_secs())))
}

fn success(status: ExitStatus) -> Result<(), Unreadable> {
    if status.success() { Ok(()) } else { Err(status.code().map_or(Unreadable::Killed, Unreadable::Failed)) }
}

fn failed(e: std::io::Error) -> Unreadable {
    Unreadable::Io(e.kind())
}

async fn bounded(from: impl AsyncRead + Unpin) -> Result<Result<Zeroizing<Vec<u8>>, Unreadable>, Unreadable> {
    // Never grows: that would leave copies of the token in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 64));
    from.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    Ok(if bytes.len() > MAX_BYTES { Err(Unreadable::TooLong) } else { Ok(bytes) })
}

/// All lines: at most `most`, of which each has a limit.
async fn answers(mut from: ChildStdout, most: usize) -> Result<Vec<Zeroizing<String>>, Unreadable> {
    let line = |bytes: &[u8]| text(Zeroizing::new(bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec()));
    let mut lines = Vec::new();
    // Never grows, as above.
    let mut buffer = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    loop {
        let room = MAX_BYTES + 1 - buffer.len();
        if room == 0 {
            return Err(Unreadable::TooLong);
        }
        if lines.len() > most {
            return Err(Unreadable::Unmatched);
        }
        if from.read_buf(&mut (&mut *buffer).limit(room)).await.map_err(failed)? == 0 {
            break;
        }
        let mut begin = 0;
        while let Some(length) = buffer[begin..].iter().position(|byte| *byte == b'\n') {
            lines.push(line(&buffer[begin..begin + length])?);
            begin += length + 1;
        }
        buffer.drain(..begin);
    }
    if !buffer.is_empty() {
        lines.push(line(&buffer)?);
    }
    Ok(lines)
}

struct Running {
    group: Option<Group>,
    child: Child,
}

impl Running {
    fn start(words: &[String], input: Stdio) -> Result<(Self, ChildStdout), Unreadable> {
        let (program, arguments) =
            words.split_first().ok_or(Unreadable::NotStarted(std::io::ErrorKind::NotFound))?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().stdin(input).stdout(Stdio::piped()).stderr(Stdio::null());
        // Killed as a process group; the runtime reaps the leader.
        command.process_group(0);
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let mut child = command.spawn().map_err(|e| Unreadable::NotStarted(e.kind()))?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let output = child.stdout.take().ok_or(Unreadable::Empty)?;
        Ok((Self { group: Some(group), child }, output))
    }

    async fn end(&mut self) -> Result<ExitStatus, Unreadable> {
        let status = self.child.wait().await.map_err(failed)?;
        // Its children could hold the output open.
        self.group = None;
        Ok(status)
    }
}

/// The process group of a command. What is left of it is killed when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Fails if all its processes have ended.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
