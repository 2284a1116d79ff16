//! The download path against the server of `hub_server`: each way a download can go wrong, and that none of them leaves
//! anything in the cache that could be taken for the file.

mod hub_server;

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hub_server::{
    FILE, REVISION, Request, Server, content, cut_after, etag, first, hub_headers, remote, reply, serve, status,
};
use miette::Diagnostic;
use mmcollapse_data::hub::{Hub, HubError, Patience, Remote, RepoKind, announced_digest};
use tempfile::TempDir;

/// A hub client with a cache of its own that does not wait long.
fn client(endpoint: &str) -> (Hub, TempDir) {
    let patience = Patience {
        attempts: 4,
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_secs(2),
        answer: Duration::from_secs(5),
        silence: Duration::from_secs(5),
    };
    hub_server::client(endpoint, patience)
}

/// Every file under the cache that a reader would take for the data.
fn visible(hub: &Hub) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![
        hub.folder(&remote()).join("snapshots"),
        hub.folder(&remote()).join("blobs"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found
}

fn help(error: &HubError) -> String {
    error.help().map(|help| help.to_string()).unwrap_or_default()
}

/// Fetches from a server with `fault` and expects the whole file; returns where the transfers began.
fn succeeds(fault: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> Vec<usize> {
    let server = Server::start(fault);
    let (hub, _folder) = client(&server.endpoint);
    let path = hub.fetch(&remote()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), *server.content);
    assert_eq!(hub.cached(&remote()), Some(path));
    server.transfers()
}

/// Fetches from a server with `fault`, expects an error and an untouched cache; returns the error and the requests.
fn fails(fault: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> (HubError, Vec<Request>) {
    let server = Server::start(fault);
    let (hub, _folder) = client(&server.endpoint);
    let error = hub.fetch(&remote()).unwrap_err();
    assert_eq!(visible(&hub), Vec::<PathBuf>::new());
    assert_eq!(hub.cached(&remote()), None);
    assert!(!help(&error).is_empty());
    (error, server.requests())
}

#[test]
fn a_file_is_downloaded_once_into_the_layout_of_the_hubs_clients() {
    let server = Server::well_behaved();
    let (hub, _folder) = client(&server.endpoint);
    let path = hub.fetch(&remote()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), *server.content);

    let repo = hub.cache.join("datasets--owner--name");
    assert_eq!(path, repo.join("snapshots").join(REVISION).join(FILE));
    let blob = repo.join("blobs").join(etag(&server.content));
    assert_eq!(path.canonicalize().unwrap(), blob.canonicalize().unwrap());
    assert_eq!(fs::read_to_string(repo.join("refs").join(REVISION)).unwrap(), REVISION);
    assert!(!repo.join("mmcollapse-partial").exists());
    assert_eq!(server.transfers(), [0]);

    // From now on neither the server nor leave to write is needed.
    let asked = server.requests().len();
    let away = Hub {
        endpoint: "http://127.0.0.1:1".into(),
        ..hub.clone()
    };
    assert_eq!(away.fetch(&remote()).unwrap(), path);
    let offline = Hub { offline: true, ..hub };
    assert_eq!(offline.fetch(&remote()).unwrap(), path);
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn a_model_has_an_address_and_a_folder_of_its_own() {
    let server = Server::well_behaved();
    let (hub, _folder) = client(&server.endpoint);
    let model = Remote {
        kind: RepoKind::Model,
        ..remote()
    };
    let path = hub.fetch(&model).unwrap();
    assert!(path.starts_with(hub.cache.join("models--owner--name")));
    assert_eq!(announced_digest(&path), Some(etag(&server.content)));
    assert_eq!(hub.cached(&remote()), None);
    let address = format!("/owner/name/resolve/{REVISION}/{FILE}");
    assert!(server.requests().iter().all(|request| request.path == address));
}

#[test]
fn a_cache_that_cannot_be_written_serves_what_it_has() {
    let server = Server::well_behaved();
    let (hub, _folder) = client(&server.endpoint);
    // The snapshot holds the file itself, without blobs or refs: a cache copied by hand.
    let pointer = hub.folder(&remote()).join("snapshots").join(REVISION).join(FILE);
    fs::create_dir_all(pointer.parent().unwrap()).unwrap();
    mmcollapse_files::write_atomic(&pointer, &server.content).unwrap();
    let set = |readonly: bool| {
        for folder in pointer.ancestors().skip(1).take(6) {
            let mut permissions = fs::metadata(folder).unwrap().permissions();
            permissions.set_readonly(readonly);
            fs::set_permissions(folder, permissions).unwrap();
        }
    };
    set(true);
    let got = hub.fetch(&remote());
    set(false);
    assert_eq!(got.unwrap(), pointer);
    assert!(server.requests().is_empty());
}

#[test]
fn redirects_to_a_content_network_are_followed() {
    let fault = |request: &Request, stream: &mut TcpStream| {
        let bytes = content();
        let to = |location: &str| {
            format!(
                "X-Repo-Commit: {REVISION}\r\nX-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\nLocation: {location}\r\n",
                etag(&bytes),
                bytes.len()
            )
        };
        match request.path.as_str() {
            "/elsewhere" => serve(request, stream, &bytes, "ETag: \"of-the-network\"\r\n"),
            "/moved" => reply(
                stream,
                "302 Found",
                &to(&format!("http://{}/elsewhere", request.host)),
                b"",
            ),
            _ => reply(stream, "307 Temporary Redirect", "Location: /moved\r\n", b""),
        }
    };
    assert_eq!(succeeds(fault).len(), 3, "one transfer, over two redirects");
}

#[test]
fn the_token_goes_along_and_a_refusal_says_so() {
    let needs_token = |request: &Request, stream: &mut TcpStream| {
        let known = request.token.as_deref() == Some("Bearer hf_right");
        if known {
            false
        } else {
            reply(stream, "401 Unauthorized", "", b"")
        }
    };
    let (error, requests) = fails(needs_token);
    assert_eq!(requests.len(), 1, "a refusal is not tried again");
    assert!(error.to_string().contains("HTTP 401, no token given"), "{error}");
    assert!(help(&error).contains("HF_TOKEN"));

    let server = Server::start(needs_token);
    let (hub, _folder) = client(&server.endpoint);
    let wrong = Hub {
        token: Some("hf_wrong".into()),
        ..hub.clone()
    };
    let error = wrong.fetch(&remote()).unwrap_err().to_string();
    assert!(
        error.contains("with the token that was given") && !error.contains("hf_wrong"),
        "{error}"
    );
    Hub {
        token: Some("hf_right".into()),
        ..hub
    }
    .fetch(&remote())
    .unwrap();
}

/// What `server` answers to a request, and in its place a redirect to `elsewhere`.
fn redirecting(elsewhere: &str, location: impl Fn(&str, &str) -> String) -> Server {
    let to = location(elsewhere, &elsewhere.replace("http://", ""));
    let bytes = content();
    let headers = format!(
        "X-Repo-Commit: {REVISION}\r\nX-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\nLocation: {to}\r\n",
        etag(&bytes),
        bytes.len()
    );
    Server::start(move |_, stream| reply(stream, "302 Found", &headers, b""))
}

#[test]
fn the_token_goes_to_no_other_host_or_port() {
    let locations: [fn(&str, &str) -> String; 3] = [
        |address, _| format!("{address}/owner/name/{FILE}"),
        |_, host| format!("//{host}/owner/name/{FILE}"),
        // Another name of this machine, with who logs in put before it.
        |_, host| format!("http://127.0.0.1@{}/{FILE}", host.replace("127.0.0.1", "localhost")),
    ];
    for location in locations {
        let other = Server::well_behaved();
        let server = redirecting(&other.endpoint, location);
        let (hub, _folder) = client(&server.endpoint);
        let with_token = Hub {
            token: Some("hf_secret".into()),
            ..hub
        };
        let path = with_token.fetch(&remote()).unwrap();
        assert_eq!(fs::read(path).unwrap(), content());
        let tokens = |server: &Server| server.requests().into_iter().map(|r| r.token).collect::<Vec<_>>();
        assert!(tokens(&server).iter().all(Option::is_some), "the hub itself gets it");
        assert_eq!(other.transfers().len(), 1);
        let elsewhere = format!("{:?}", tokens(&other));
        assert!(!elsewhere.contains("secret"), "{elsewhere}");
    }
}

#[test]
fn passwords_of_addresses_are_in_no_message() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answers: [fn(&Request, &mut TcpStream) -> bool; 4] = [
        |_, stream| reply(stream, "404 Not Found", "", b""),
        |_, stream| reply(stream, "200 OK", "", b"<html>"),
        |request, stream| {
            let to = format!("Location: http://u:secret@{}/x?sig=secret\r\n", request.host);
            reply(stream, "302 Found", &to, b"")
        },
        |_, stream| reply(stream, "302 Found", "Location: ftp://u:secret@there/\r\n", b""),
    ];
    let servers = answers.map(Server::start);
    let mut endpoints: Vec<String> = servers.iter().map(|server| server.endpoint.clone()).collect();
    endpoints.push(format!("http://{unused}"));
    for endpoint in endpoints {
        let (hub, _folder) = client(&endpoint.replace("http://", "http://somebody:secret@"));
        let error = hub.fetch(&remote()).unwrap_err();
        let text = format!("{error} {error:?} {} {hub:?}", help(&error));
        assert!(!text.contains("secret") && !text.contains("somebody"), "{text}");
    }
    for wrong in [
        "somebody:secret@mirror",
        "mirror?secret",
        "ftp://somebody:secret@mirror",
    ] {
        let (hub, _folder) = client(wrong);
        let error = hub.fetch(&remote()).unwrap_err();
        assert!(
            matches!(
                error,
                HubError::Variable {
                    variable: "HF_ENDPOINT",
                    ..
                }
            ),
            "{error}"
        );
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let (hub, _folder) = client(&servers[0].endpoint);
    let odd = Hub {
        token: Some("hf_s\u{fffd}cret".into()),
        ..hub
    };
    let error = odd.fetch(&remote()).unwrap_err().to_string();
    assert!(error.contains("HF_TOKEN") && !error.contains("cret"), "{error}");
}

#[test]
fn a_body_without_end_stops_at_the_announced_size() {
    let endless = |request: &Request, stream: &mut TcpStream| {
        let start = request.range.unwrap().0;
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\n{}Content-Range: bytes {start}-/100008\r\nConnection: close\r\n\r\n",
            hub_headers(&content())
        );
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = stream.write_all(&vec![7; 1 << 16]);
        }
    };
    let (error, _) = fails(first(99, false, endless));
    assert!(matches!(error, HubError::TooLarge { most: 100_008, .. }), "{error}");

    // Announced as larger than any file that is loaded: nothing is transferred.
    let (error, requests) = fails(|_, stream| {
        let headers = format!(
            "{}Content-Range: bytes 0-0/{}\r\n",
            hub_headers(&content()),
            1_u64 << 60
        );
        reply(stream, "206 Partial Content", &headers, b"P")
    });
    assert!(matches!(error, HubError::TooLarge { .. }), "{error}");
    assert_eq!(requests.len(), 1);
}

#[test]
fn what_is_not_there_is_not_tried_again() {
    let (error, requests) = fails(|_, stream| reply(stream, "404 Not Found", "", b""));
    assert!(matches!(error, HubError::NotFound { .. }), "{error}");
    assert_eq!(requests.len(), 1);
}

#[test]
fn too_many_requests_are_waited_out_as_asked() {
    let start = Instant::now();
    succeeds(first(1, true, status("429 Too Many Requests", "Retry-After: 1\r\n")));
    assert!(start.elapsed() >= Duration::from_secs(1));

    // Longer than we wait: said at once.
    let start = Instant::now();
    let (error, requests) = fails(|_, stream| reply(stream, "429 Too Many Requests", "Retry-After: 3600\r\n", b""));
    assert!(error.to_string().contains("come back in 3600 s"), "{error}");
    assert_eq!(requests.len(), 1);
    assert!(start.elapsed() < Duration::from_secs(1));

    // Without a number, and on the transfer itself: our own waits, and not for ever.
    succeeds(first(2, false, status("429 Too Many Requests", "")));
    let (error, _) = fails(first(99, false, status("429 Too Many Requests", "")));
    assert!(
        matches!(
            error,
            HubError::Busy {
                status: 429,
                retry_after: None,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_failing_server_gets_a_few_more_chances() {
    succeeds(first(3, true, status("502 Bad Gateway", "")));
    succeeds(first(3, false, status("500 Internal Server Error", "")));
    let (error, requests) = fails(|_, stream| reply(stream, "500 Internal Server Error", "", b""));
    assert!(matches!(error, HubError::Server { status: 500, .. }), "{error}");
    assert_eq!(requests.len(), 4);
}

#[test]
fn a_broken_transfer_continues_where_it_stopped() {
    assert_eq!(succeeds(first(1, false, cut_after(40_000))), [0, 40_000]);
    assert_eq!(
        succeeds(first(3, false, cut_after(30_000))),
        [0, 30_000, 60_000, 90_000]
    );

    let (error, _) = fails(first(99, false, cut_after(10)));
    let text = error.to_string();
    assert!(text.contains("after 40 of 100008 bytes"), "{text}");
    assert!(help(&error).contains("continues where it stopped"));
}

#[test]
fn an_answer_that_is_short_but_consistent_is_noticed() {
    let short = |request: &Request, stream: &mut TcpStream| {
        let (bytes, start) = (content(), request.range.unwrap().0);
        let headers = format!("{}Content-Range: bytes {start}-49999/100008\r\n", hub_headers(&bytes));
        reply(stream, "206 Partial Content", &headers, &bytes[start..50_000]);
    };
    assert_eq!(succeeds(first(1, false, short)), [0, 50_000]);
}

#[test]
fn a_server_that_starts_over_does_not_spoil_the_file() {
    // The first transfer breaks off; asked for the rest, the server sends everything with 200.
    let transfers = AtomicUsize::new(0);
    let starts = succeeds(move |request, stream| {
        if request.is_probe() {
            return false;
        }
        let whole = content();
        match transfers.fetch_add(1, Ordering::SeqCst) {
            0 => {
                cut_after(40_000)(request, stream);
                true
            }
            1 => reply(stream, "200 OK", &hub_headers(&whole), &whole),
            _ => false,
        }
    });
    assert_eq!(starts, [0, 40_000], "what it sends is taken from its beginning");
}

#[test]
fn the_partial_file_outlives_the_process() {
    let server = Server::start(first(1, false, cut_after(70_000)));
    let (hub, _folder) = client(&server.endpoint);
    let once = Hub {
        patience: Patience {
            attempts: 1,
            ..hub.patience
        },
        ..hub.clone()
    };
    assert!(matches!(
        once.fetch(&remote()).unwrap_err(),
        HubError::Truncated { got: 70_000, .. }
    ));
    assert_eq!(visible(&hub), Vec::<PathBuf>::new());
    assert_eq!(fs::read(hub.fetch(&remote()).unwrap()).unwrap(), *server.content);
    assert_eq!(server.transfers(), [0, 70_000]);
}

#[test]
fn a_partial_file_of_other_bytes_is_thrown_away() {
    let server = Server::well_behaved();
    let (hub, _folder) = client(&server.endpoint);
    let blobs = hub
        .folder(&remote())
        .join("mmcollapse-partial/datasets--owner--name/blobs");
    for size in [40_000, server.content.len(), 2 * server.content.len()] {
        let part = blobs.join(format!("{}.part", etag(&server.content)));
        mmcollapse_files::write_atomic(&part, &vec![7; size]).unwrap();
        assert_eq!(fs::read(hub.fetch(&remote()).unwrap()).unwrap(), *server.content);
        fs::remove_dir_all(&hub.cache).unwrap();
    }
}

#[test]
fn bytes_that_are_not_the_announced_ones_never_reach_the_cache() {
    let altered = |request: &Request, stream: &mut TcpStream| {
        let (mut bytes, headers) = (content(), hub_headers(&content()));
        bytes[50_000] ^= 1;
        serve(request, stream, &bytes, &headers);
    };
    assert_eq!(succeeds(first(1, false, altered)), [0, 0]);
    let (error, _) = fails(first(99, false, altered));
    assert!(matches!(error, HubError::WrongDigest { .. }), "{error}");
    assert!(error.to_string().contains(&etag(&content())));
}

#[test]
fn another_revision_or_another_server_is_refused() {
    let (error, _) = fails(|request, stream| {
        let bytes = content();
        serve(
            request,
            stream,
            &bytes,
            &format!("ETag: \"a\"\r\nX-Repo-Commit: {}\r\n", "9".repeat(40)),
        )
    });
    assert!(
        error.to_string().contains(&format!("revision {}", "9".repeat(40))),
        "{error}"
    );

    let (error, _) = fails(|_, stream| reply(stream, "200 OK", "", b"<html>log in</html>"));
    assert!(matches!(error, HubError::Protocol { .. }), "{error}");
    assert!(help(&error).contains("HF_ENDPOINT"));
    let (error, _) = fails(|_, stream| reply(stream, "302 Found", "", b""));
    assert!(error.to_string().contains("without a Location"), "{error}");
    let (error, _) = fails(|request, stream| {
        serve(
            request,
            stream,
            &content(),
            &format!("ETag: \"../../evil\"\r\nX-Repo-Commit: {REVISION}\r\n"),
        )
    });
    assert!(error.to_string().contains("unusable ETag"), "{error}");
}

#[test]
fn no_network_and_offline_mode_say_what_to_do() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (hub, _folder) = client(&format!("http://{unused}"));
    let start = Instant::now();
    let error = hub.fetch(&remote()).unwrap_err();
    assert!(matches!(error, HubError::NoNetwork { .. }), "{error}");
    assert!(help(&error).contains("HF_HUB_OFFLINE"));
    assert!(start.elapsed() < Duration::from_secs(2));

    let server = Server::well_behaved();
    let (hub, _folder) = client(&server.endpoint);
    let error = Hub {
        offline: true,
        ..hub.clone()
    }
    .fetch(&remote())
    .unwrap_err();
    assert!(
        error.to_string().contains("data/train.parquet of owner/name"),
        "{error}"
    );
    assert!(server.requests().is_empty());
    assert!(!hub.cache.exists(), "offline mode writes nothing");
}

#[test]
fn silence_is_not_waited_out_for_ever() {
    let server = Server::start(first(1, false, |request, stream| {
        cut_after(20_000)(request, stream);
        thread::sleep(Duration::from_secs(20));
    }));
    let (hub, _folder) = client(&server.endpoint);
    let patience = Patience {
        attempts: 1,
        silence: Duration::from_millis(300),
        ..hub.patience
    };
    let error = Hub { patience, ..hub }.fetch(&remote()).unwrap_err();
    assert!(matches!(error, HubError::Silent { .. }), "{error}");
}

#[test]
fn a_fragment_in_the_cache_is_not_taken_for_the_file() {
    let server = Server::well_behaved();
    let (hub, _folder) = client(&server.endpoint);
    let path = hub.fetch(&remote()).unwrap();
    mmcollapse_files::write_atomic(&path, &server.content[..60_000]).unwrap();
    assert_eq!(hub.cached(&remote()), None);
    let error = Hub {
        offline: true,
        ..hub.clone()
    }
    .fetch(&remote())
    .unwrap_err();
    assert!(matches!(error, HubError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(hub.fetch(&remote()).unwrap()).unwrap(), *server.content);
}

#[test]
fn two_at_once_download_once() {
    let server = Server::start(|request, _| {
        if !request.is_probe() {
            thread::sleep(Duration::from_millis(100));
        }
        false
    });
    let (hub, _folder) = client(&server.endpoint);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(fs::read(hub.fetch(&remote()).unwrap()).unwrap(), *server.content));
        }
    });
    assert_eq!(server.transfers(), [0]);
}

#[test]
fn a_cache_that_cannot_be_made_is_named() {
    let server = Server::well_behaved();
    let (hub, folder) = client(&server.endpoint);
    let file = folder.path().join("file");
    mmcollapse_files::write_atomic(&file, b"in the way").unwrap();
    let error = Hub { cache: file, ..hub }.fetch(&remote()).unwrap_err();
    assert!(matches!(error, HubError::Cache { .. }), "{error}");
    assert!(help(&error).contains("HF_HOME"));
}
