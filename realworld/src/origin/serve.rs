//! The origin itself: one thread, as many connections as there are descriptors.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, future};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use super::request::{Answer, Request, body};

/// As many as a thousand tasks may connect before the first of them is accepted.
const QUEUED: u32 = 4096;
/// How much of a request is read at once.
const READ: usize = 4096;

/// Serves on a free port, which it prints. With a directory: https, and the certificate goes there.
///
/// # Errors
/// If it can't listen, or not write to where it should.
pub fn serve(tls: Option<&Path>) -> io::Result<()> {
    let tls = tls.map(acceptor).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(QUEUED)?;
        println!("{}", listener.local_addr()?.port());
        io::stdout().flush()?;
        loop {
            // Out of descriptors, for instance: it gets better when a client goes.
            let Ok((stream, _)) = listener.accept().await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let tls = tls.clone();
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                match tls {
                    None => talk(stream).await,
                    Some(tls) => talk(tls.accept(stream).await?).await,
                }
            });
        }
    })
}

fn acceptor(directory: &Path) -> io::Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    fs::write(directory.join(super::CERTIFICATE), made.cert.pem())?;
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A connection, which may be broken off.
trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn talk(mut stream: impl Stream) -> io::Result<()> {
    let mut pending = Vec::with_capacity(READ);
    loop {
        let (request, length) = loop {
            if let Some(found) = Request::parse(&pending).map_err(io::Error::other)? {
                break found;
            }
            if stream.read_buf(&mut pending).await? == 0 {
                return Ok(());
            }
        };
        pending.drain(..length);
        while pending.len() < request.length {
            if stream.read_buf(&mut pending).await? == 0 {
                return Ok(());
            }
        }
        pending.drain(..request.length);
        match request.answer {
            Answer::Page { delay, size } => {
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                write(&mut stream, "200 OK", Some(size), &body(size)).await?;
            }
            Answer::Drip { size, every } => {
                write(&mut stream, "200 OK", Some(size), "").await?;
                for byte in body(size).bytes() {
                    sleep(every).await;
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                }
            }
            Answer::Reset { size } => {
                write(&mut stream, "200 OK", Some(size + 1), &body(size)).await?;
                // To close it is to reset it, now.
                return stream.socket().set_zero_linger();
            }
            Answer::Half { size } => {
                write(&mut stream, "200 OK", None, &body(size)).await?;
                stream.shutdown().await?;
                drain(&mut stream).await?;
                return Ok(());
            }
            Answer::AfterEof => {
                let count = pending.len() + drain(&mut stream).await?;
                let count = count.to_string();
                return write(&mut stream, "200 OK", Some(count.len()), &count).await;
            }
            Answer::Never => future::pending().await,
            Answer::NotFound => write(&mut stream, "404 Not Found", Some(0), "").await?,
        }
        if request.close {
            return stream.shutdown().await;
        }
    }
}

async fn write(
    stream: &mut impl Stream,
    status: &str,
    length: Option<usize>,
    body: &str,
) -> io::Result<()> {
    let length = match length {
        Some(length) => format!("Content-Length: {length}"),
        None => "Connection: close".to_owned(),
    };
    let text = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}

/// Reads to the end. Gives how many bytes there were.
async fn drain(stream: &mut impl Stream) -> io::Result<usize> {
    let mut buffer = [0; READ];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(count),
            read => count += read,
        }
    }
}
