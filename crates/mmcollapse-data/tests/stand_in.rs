//! When the excerpt that is built in takes avMNIST's place: only where its files can be had neither from the cache nor from the
//! hub, and quickly.

mod hub_server;

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hub_server::{Request, Server, content, hub_headers, reply, serve};
use mmcollapse_data::hub::{Hub, Patience};
use mmcollapse_data::manifest::{BuiltIn, Manifest};
use mmcollapse_data::sets::AvMnist;
use mmcollapse_data::stand_in::{StandIn, stand_in_for};
use mmcollapse_data::{SETS, find};
use mmcollapse_files::write_atomic;
use tempfile::TempDir;

/// A hub client with an empty cache of its own.
fn client(endpoint: &str) -> (Hub, TempDir) {
    let patience = Patience {
        answer: Duration::from_millis(500),
        ..Patience::default()
    };
    hub_server::client(endpoint, patience)
}

/// Puts what passes for the files of a source into the cache.
fn fill(hub: &Hub, source: &str) {
    for remote in Manifest::find(source).unwrap().remotes() {
        let place = hub.folder(&remote).join("snapshots").join(&remote.revision);
        write_atomic(&place.join(&remote.file), b"PAR1 a whole file PAR1").unwrap();
    }
}

/// What takes avMNIST's place with this hub, and how many seconds that took to settle.
fn settled(hub: &Hub) -> (Option<StandIn>, f64) {
    let start = Instant::now();
    let stand_in = stand_in_for(&AvMnist::Plain, hub).unwrap();
    (stand_in, start.elapsed().as_secs_f64())
}

/// Why the excerpt takes avMNIST's place.
fn reason(hub: &Hub) -> String {
    let stand_in = settled(hub).0.unwrap();
    assert_eq!((stand_in.of, stand_in.name), ("avmnist", "avmnist-embedded"));
    stand_in.reason
}

/// Whether the excerpt takes avMNIST's place with a server that has this fault, and whether a token is given.
fn replaced(token: bool, fault: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> bool {
    let server = Server::start(fault);
    let (mut hub, _folder) = client(&server.endpoint);
    hub.token = token.then(|| "hf_x".to_owned());
    let stand_in = settled(&hub).0;
    assert_eq!(server.requests().len(), 1, "the hub is asked once");
    stand_in.is_some()
}

#[test]
fn a_hub_that_does_not_answer_is_given_up_quickly() {
    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (hub, _folder) = client(&format!("http://{closed}"));
    let (stand_in, seconds) = settled(&hub);
    assert!(stand_in.unwrap().reason.contains("no answer from"));
    assert!(seconds < 2., "{seconds} s");

    // Accepts, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut hub, _folder) = client(&format!("http://{}", silent.local_addr().unwrap()));
    let (stand_in, seconds) = settled(&hub);
    assert!(stand_in.unwrap().reason.contains("no answer from"));
    assert!((0.4..3.).contains(&seconds), "{seconds} s");

    // However patient downloads are, this is settled in seconds.
    hub.patience = Patience::default();
    let (stand_in, seconds) = settled(&hub);
    assert!(stand_in.is_some() && seconds < 12., "{seconds} s");
    assert!(!hub.cache.exists(), "settling writes nothing");
}

#[test]
fn what_is_in_the_cache_is_not_asked_for() {
    let server = Server::well_behaved();
    let (mut hub, _folder) = client(&server.endpoint);
    hub.offline = true;
    assert!(reason(&hub).contains("offline mode is on"));
    // Half of it is not enough, and what is missing is named.
    fill(&hub, "mnist");
    let half = reason(&hub);
    assert!(
        half.contains("mteb/free-spoken-digit-dataset") && half.contains("is not in the cache"),
        "{half}"
    );
    fill(&hub, "fsdd");
    assert_eq!(settled(&hub).0, None);
    hub.offline = false;
    assert_eq!(settled(&hub).0, None);
    assert!(server.requests().is_empty());
}

#[test]
fn a_fragment_in_the_cache_is_not_the_file() {
    let (mut hub, _folder) = client("http://127.0.0.1:9");
    hub.offline = true;
    fill(&hub, "mnist");
    fill(&hub, "fsdd");
    let manifest = Manifest::find("fsdd").unwrap();
    let path = hub.cached(&manifest.remote(&manifest.files[0])).unwrap();
    write_atomic(&path, b"PAR1 half a file").unwrap();
    let reason = reason(&hub);
    assert!(reason.contains("is not a whole file"), "{reason}");
}

#[test]
fn an_answer_of_the_hub_is_an_answer() {
    let gives =
        |request: &Request, stream: &mut TcpStream| serve(request, stream, &content(), &hub_headers(&content()));
    assert!(!replaced(false, gives));
    let answers = |line: &'static str| move |_: &Request, stream: &mut TcpStream| reply(stream, line, "", b"");
    // A mistake of the user's must be told, not passed over.
    assert!(!replaced(false, answers("404 Not Found")), "a mirror without the file");
    assert!(!replaced(true, answers("401 Unauthorized")), "a wrong token");
    // Something else answers in the hub's place, or the hub is down.
    assert!(replaced(false, answers("403 Forbidden")), "a firewall");
    assert!(replaced(false, answers("200 OK")), "a login page");
    assert!(replaced(false, answers("503 Service Unavailable")));
    assert!(replaced(false, answers("500 Internal Server Error")));
}

#[test]
fn only_avmnist_has_a_stand_in_and_it_is_built_in() {
    let (mut hub, _folder) = client("http://127.0.0.1:9");
    hub.offline = true;
    for set in SETS.iter() {
        let stand_in = stand_in_for(*set, &hub).unwrap();
        assert_eq!(stand_in.is_some(), set.name() == "avmnist", "{}", set.name());
        let Some(stand_in) = stand_in else { continue };
        let excerpt = find(stand_in.name).unwrap();
        assert!(excerpt.stand_in().is_none());
        let (text, what) = (stand_in.to_string(), excerpt.excerpt().unwrap());
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("Data set avmnist-embedded instead of avmnist"),
            "{text}"
        );
        assert!(
            text.contains(what) && text.contains("`--dataset avmnist` insists"),
            "{text}"
        );
    }
}
