//! Downloads of open sources against a server on this machine: each way one can go wrong, and that nothing of it is left
//! that could be taken for a file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mmcollapse_data::LoadOptions;
use mmcollapse_data::ehr::manifest::RecordsManifest;
use mmcollapse_data::files::FilesSource;
use mmcollapse_data::hub::Patience;
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::open::{Open, OpenFolder, Web};
use mmcollapse_files::sha256;

const CONTENT: &[u8] = b"stay,value\n1,2\n";

/// Status line and headers, and the body.
type Answer = (String, Vec<u8>);

/// A server that answers the n-th request, from 0, for a path as it is told to.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn serve(answer: impl Fn(usize, &str) -> Answer + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&asked);
    thread::spawn(move || {
        let count = AtomicUsize::new(0);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while !lines.next().unwrap().unwrap().is_empty() {}
            let path = first.split(' ').nth(1).unwrap().to_owned();
            let (head, body) = answer(count.fetch_add(1, Ordering::SeqCst), &path);
            record.lock().unwrap().push(path);
            let _ = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(&body);
        }
    });
    Server { base, asked }
}

fn whole(body: &[u8]) -> Answer {
    (format!("200 OK\r\nContent-Length: {}", body.len()), body.to_vec())
}

fn folders(base: &str) -> Vec<OpenFolder> {
    let digest = sha256(CONTENT);
    let folder = |below: &str, files: &[&str]| OpenFolder {
        base: base.to_owned(),
        below: below.to_owned(),
        files: files.iter().map(|&file| (file.to_owned(), digest.clone())).collect(),
        unpacked: BTreeMap::new(),
    };
    vec![folder("", &["a.csv", "deep/b.csv"]), folder("other", &["c.csv"])]
}

fn open(base: &str) -> Open<'static> {
    Open {
        name: "some-stays",
        title: "Some stays",
        variable: "MMCOLLAPSE_NOT_SET_DIR",
        address: "https://example.org",
        folders: folders(base),
    }
}

fn web(cache: &Path) -> Web {
    Web {
        cache: cache.to_owned(),
        progress: false,
        patience: Patience {
            attempts: 3,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(20),
            answer: Duration::from_secs(5),
            silence: Duration::from_secs(5),
        },
    }
}

/// Files below `folder` that are not locks, by path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|ending| ending != "lock") {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn files_are_downloaded_once_and_only_what_is_missing() {
    let cache = tempfile::tempdir().unwrap();
    let server = serve(|_, _| whole(CONTENT));
    let open = open(&server.base);
    assert_eq!(open.kept(cache.path()), None);
    let folder = open.fetch(&web(cache.path())).unwrap();
    let names: Vec<_> = files(&folder).into_keys().collect();
    assert_eq!(names, ["a.csv", "deep/b.csv", "other/c.csv"]);
    assert!(files(&folder).values().all(|content| content == CONTENT));
    assert_eq!(open.kept(cache.path()), Some(folder.clone()));
    assert_eq!(*server.asked.lock().unwrap(), ["/a.csv", "/deep/b.csv", "/c.csv"]);

    fs::remove_file(folder.join("deep/b.csv")).unwrap();
    assert_eq!(open.kept(cache.path()), None);
    open.fetch(&web(cache.path())).unwrap();
    assert_eq!(server.asked.lock().unwrap()[3..], ["/deep/b.csv"]);
}

#[test]
fn what_passes_by_itself_is_tried_again() {
    let cut = (
        format!("200 OK\r\nContent-Length: {}", CONTENT.len()),
        CONTENT[..3].to_vec(),
    );
    for trouble in [("503 Busy\r\nContent-Length: 0".to_owned(), Vec::new()), cut] {
        let cache = tempfile::tempdir().unwrap();
        let server = serve(move |n, _| if n == 0 { trouble.clone() } else { whole(CONTENT) });
        open(&server.base).fetch(&web(cache.path())).unwrap();
        assert_eq!(server.asked.lock().unwrap().len(), 4);
    }
}

#[test]
fn a_failure_names_the_file_and_keeps_what_came_before() {
    let gone = |path: &str| path.contains("b.csv");
    let status = |status: &str| (format!("{status}\r\nContent-Length: 0"), Vec::new());
    for (says, tries, answer) in [
        ("HTTP 404", 1, status("404 Not Found")),
        ("sha256 of the bytes is", 1, whole(b"another file")),
        ("HTTP 500", 3, status("500 Oh")),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let server = serve(move |_, path| if gone(path) { answer.clone() } else { whole(CONTENT) });
        let open = open(&server.base);
        let failure = open.fetch(&web(cache.path())).unwrap_err();
        assert!(failure.place.ends_with("/deep/b.csv"), "{failure:?}");
        assert!(failure.reason.contains(says), "{failure:?}");
        assert_eq!(server.asked.lock().unwrap().len(), 1 + tries);
        assert_eq!(
            files(cache.path()).into_keys().collect::<Vec<_>>(),
            ["downloads/some-stays/a.csv"]
        );
        assert_eq!(open.kept(cache.path()), None);
    }
    let cache = tempfile::tempdir().unwrap();
    let nobody = open("http://127.0.0.1:1/").fetch(&web(cache.path())).unwrap_err();
    assert!(nobody.place.ends_with("/a.csv") && !nobody.reason.is_empty());
}

#[test]
fn passwords_of_addresses_are_in_no_message() {
    let cache = tempfile::tempdir().unwrap();
    let failure = open("http://somebody:secret@127.0.0.1:1/")
        .fetch(&web(cache.path()))
        .unwrap_err();
    assert!(!format!("{failure} {failure:?}").contains("secret"), "{failure}");
}

#[test]
fn offline_nothing_is_asked_for() {
    let server = serve(|_, _| whole(CONTENT));
    let options = LoadOptions {
        offline: true,
        ..LoadOptions::default()
    };
    assert!(Web::new(&options).is_none());
    assert_eq!(open(&server.base).obtain(&options).unwrap(), None);
    assert!(server.asked.lock().unwrap().is_empty());
}

/// The digests of the manifests are those of the files that the results are of, where they are there.
#[test]
fn manifests_know_the_files_that_were_tested_with() {
    let records = RecordsManifest::all().unwrap();
    let sources = FilesSource::all().unwrap();
    let opens = records
        .iter()
        .map(RecordsManifest::open)
        .chain(sources.iter().map(FilesSource::open));
    let mut names = Vec::new();
    for open in opens.filter(|open| !open.folders.is_empty()) {
        names.push(open.name.to_owned());
        for folder in &open.folders {
            let variable = if folder.below == "yaib" {
                "YAIB_EICU_DEMO_DIR"
            } else {
                open.variable
            };
            let Some(place) = std::env::var_os(variable).filter(|value| !value.is_empty()) else {
                eprintln!("\n!!! SKIPPED: digests of {}: set {variable}\n", open.name);
                continue;
            };
            for (path, digest) in &folder.files {
                let bytes = fs::read(Path::new(&place).join(path)).unwrap();
                assert_eq!(sha256(bytes), *digest, "{} {path}", open.name);
            }
        }
    }
    assert!(names.len() >= 4, "{names:?}");
}
