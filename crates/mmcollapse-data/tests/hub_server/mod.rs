//! A server on this machine that speaks the hub's protocol, and misbehaves on demand.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use mmcollapse_data::hub::{Hub, Patience, Remote, RepoKind};
use mmcollapse_files::sha256;
use tempfile::TempDir;

pub const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
pub const FILE: &str = "data/train.parquet";

/// The address of the server's file.
pub fn remote() -> Remote {
    Remote {
        kind: RepoKind::Dataset,
        repo: "owner/name".into(),
        revision: REVISION.into(),
        file: FILE.into(),
    }
}

/// A hub client with an empty cache of its own.
pub fn client(endpoint: &str, patience: Patience) -> (Hub, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub {
        cache: folder.path().join("hub"),
        endpoint: endpoint.to_owned(),
        token: None,
        offline: false,
        progress: false,
        patience,
    };
    (hub, folder)
}

/// What a client asked for.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// First and last byte of the range asked for.
    pub range: Option<(usize, Option<usize>)>,
    pub token: Option<String>,
    pub host: String,
}

impl Request {
    /// Whether it only asks what the file is.
    pub fn is_probe(&self) -> bool {
        self.range == Some((0, Some(0)))
    }
}

/// Answers a request instead of the well-behaved hub; `false` leaves it to the hub.
pub type Fault = dyn Fn(&Request, &mut TcpStream) -> bool + Send + Sync;

/// A hub with one file.
pub struct Server {
    pub endpoint: String,
    pub content: Arc<Vec<u8>>,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

pub fn content() -> Vec<u8> {
    let mut bytes = b"PAR1".to_vec();
    bytes.extend((0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8));
    bytes.extend(b"PAR1");
    bytes
}

pub fn etag(content: &[u8]) -> String {
    sha256(content)
}

/// The hub's own headers for the file.
pub fn hub_headers(content: &[u8]) -> String {
    format!("ETag: \"{}\"\r\nX-Repo-Commit: {REVISION}\r\n", etag(content))
}

/// A complete answer with a body of its own length; true, so that a fault can end with it.
pub fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> bool {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    true
}

/// What a hub answers to a range request.
pub fn serve(request: &Request, stream: &mut TcpStream, content: &[u8], headers: &str) -> bool {
    let Some((first, last)) = request.range else {
        return reply(stream, "200 OK", headers, content);
    };
    if first >= content.len() {
        return reply(stream, "416 Range Not Satisfiable", headers, b"");
    }
    let last = last.unwrap_or(content.len() - 1);
    let headers = format!("{headers}Content-Range: bytes {first}-{last}/{}\r\n", content.len());
    reply(stream, "206 Partial Content", &headers, &content[first..=last])
}

impl Server {
    pub fn start(fault: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (content, requests) = (Arc::new(content()), Arc::new(Mutex::new(Vec::new())));
        let (shared, log, fault): (_, _, Arc<Fault>) = (Arc::clone(&content), Arc::clone(&requests), Arc::new(fault));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (content, log, fault) = (Arc::clone(&shared), Arc::clone(&log), Arc::clone(&fault));
                thread::spawn(move || answer(stream, &content, &log, &*fault));
            }
        });
        Self {
            endpoint,
            content,
            requests,
        }
    }

    pub fn well_behaved() -> Self {
        Self::start(|_, _| false)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// First bytes of the transfers, in order.
    pub fn transfers(&self) -> Vec<usize> {
        let requests = self.requests();
        let transfers = requests.iter().filter(|request| !request.is_probe());
        transfers.map(|request| request.range.unwrap().0).collect()
    }
}

pub fn answer(mut stream: TcpStream, content: &[u8], log: &Mutex<Vec<Request>>, fault: &Fault) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let mut request = Request {
        path: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        range: None,
        token: None,
        host: String::new(),
    };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_lowercase().as_str() {
            "range" => {
                let (first, last) = value.trim_start_matches("bytes=").split_once('-').unwrap();
                request.range = Some((first.parse().unwrap(), last.parse().ok()));
            }
            "authorization" => request.token = Some(value.to_owned()),
            "host" => value.clone_into(&mut request.host),
            _ => {}
        }
    }
    log.lock().unwrap().push(request.clone());
    if !fault(&request, &mut stream) {
        if request.path.ends_with(FILE) {
            serve(&request, &mut stream, content, &hub_headers(content));
        } else {
            reply(&mut stream, "404 Not Found", "", b"");
        }
    }
}

/// A fault for the first `n` requests of a kind.
pub fn first(
    n: usize,
    probes: bool,
    fault: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
) -> impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static {
    let seen = AtomicUsize::new(0);
    move |request, stream| {
        let hit = request.is_probe() == probes && seen.fetch_add(1, Ordering::SeqCst) < n;
        if hit {
            fault(request, stream);
        }
        hit
    }
}

/// Announces the rest of the file and sends `bytes` of it.
pub fn cut_after(bytes: usize) -> impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static {
    move |request, stream| {
        let (content, start) = (content(), request.range.unwrap().0);
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\n{}Content-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
            hub_headers(&content),
            content.len() - 1,
            content.len(),
            content.len() - start
        );
        let sent = &content[start..(start + bytes).min(content.len())];
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
    }
}

pub fn status(line: &'static str, headers: &'static str) -> impl Fn(&Request, &mut TcpStream) + Send + Sync {
    move |_, stream| {
        reply(stream, line, headers, b"");
    }
}
