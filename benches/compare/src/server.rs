//! What the tasks of the work "sockets" wait for: a server in a process of its own that answers
//! each byte after 200 ms.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::process;
use crate::works::Fallible;

pub const ANSWERS_AFTER: Duration = Duration::from_millis(200);

/// Where a measuring process, in whatever language, finds the ports.
pub const PORTS: &str = "COMPARE_PORTS";

/// Several listeners, so that ten thousand connections at once overflow the backlog of none: a
/// connection that is dropped there is tried again after a second.
const LISTENERS: usize = 4;
const BACKLOG: u32 = 4096;

pub struct Server {
    child: Child,
    /// Separated by commas.
    pub ports: String,
}

impl Server {
    pub fn start() -> Fallible<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut ports = String::new();
        let output = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(output).read_line(&mut ports)?;
        Ok(Server { child, ports: ports.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The ports that the measuring process was given.
pub fn ports() -> Fallible<Vec<u16>> {
    std::env::var(PORTS)?.split(',').map(|port| Ok(port.parse()?)).collect()
}

/// What the server's process does.
pub fn serve() -> Fallible<()> {
    process::raise_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ports = Vec::new();
        for _ in 0..LISTENERS {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let listener = socket.listen(BACKLOG)?;
            ports.push(listener.local_addr()?.port().to_string());
            tokio::spawn(accept(listener));
        }
        println!("{}", ports.join(","));
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        end.await??;
        Ok(())
    })
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) {
    let mut byte = [0];
    // A client that is gone needs no answer.
    while stream.read_exact(&mut byte).await.is_ok() {
        tokio::time::sleep(ANSWERS_AFTER).await;
        if stream.write_all(&byte).await.is_err() {
            return;
        }
    }
}
