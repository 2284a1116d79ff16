//! What comes from outside, changed at random: no reader panics, hangs or takes more memory than its limits allow.

mod hub_server;

use std::io::{Cursor, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use hub_server::{Server, client, content, hub_headers, remote};
use mmcollapse_data::archive::each_text;
use mmcollapse_data::decode::{png, png_rgb, wav};
use mmcollapse_data::ehr::TextEncoder;
use mmcollapse_data::ehr::manifest::RecordsManifest;
use mmcollapse_data::files::FilesSource;
use mmcollapse_data::folder::FolderSource;
use mmcollapse_data::hub::Patience;
use mmcollapse_data::manifest::{BuiltIn, Manifest};
use proptest::prelude::*;

/// Most memory that this program may have taken, in KiB.
const MOST_MEMORY: u64 = 1 << 20;

/// A change of bytes; places are taken modulo the length.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<usize>;
    let change = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(i, byte)| Change::Set(i, byte)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), 1..40_usize).prop_map(|(i, n)| Change::Remove(i, n)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(i, bytes)| Change::Insert(i, bytes)),
        1 => (at(), 1..400_usize).prop_map(|(i, n)| Change::Repeat(i, n)),
    ];
    prop::collection::vec(change, 1..6)
}

fn changed(whole: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for change in changes {
        let n = bytes.len().max(1);
        let end = |from: usize, length: usize| (from + length).min(bytes.len());
        match change {
            Change::Set(i, byte) => {
                if let Some(place) = bytes.get_mut(i % n) {
                    *place = *byte;
                }
            }
            Change::Cut(i) => bytes.truncate(i % n),
            Change::Remove(i, length) => {
                let from = (i % n).min(bytes.len());
                drop(bytes.drain(from..end(from, *length)));
            }
            Change::Insert(i, new) => {
                let from = (i % n).min(bytes.len());
                drop(bytes.splice(from..from, new.iter().copied()));
            }
            Change::Repeat(i, length) => {
                let from = (i % n).min(bytes.len());
                let again = bytes[from..end(from, *length)].to_vec();
                drop(bytes.splice(from..from, again));
            }
        }
    }
    bytes
}

/// The most memory that this process has had, where the system says it.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn image() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let grey = image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(x * y) as u8]));
    grey.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn recording() -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for i in 0..500_i16 {
        writer.write_sample(i * 31).unwrap();
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn texts(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    each_text(bytes, |name, text| {
        found.push((name.to_owned(), text.to_owned()));
        Ok(())
    })?;
    Ok(found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn images_and_recordings(changes in changes()) {
        for whole in [image(), recording()] {
            let bytes = changed(&whole, &changes);
            let _ = (png(&bytes), png_rgb(&bytes), wav(&bytes));
        }
        prop_assert!(most_memory() < MOST_MEMORY);
    }

    #[test]
    fn archives(changes in changes()) {
        let long = "a".repeat(200);
        let inner = tar(&[("set/1.txt", "one"), (&long, "two"), ("set/._1.txt", "of macOS")]);
        // The archive damaged, and one whose compression is whole around damage.
        let _ = texts(&changed(&gzip(&inner), &changes));
        let _ = texts(&gzip(&changed(&inner, &changes)));
        prop_assert!(most_memory() < MOST_MEMORY);
    }

    #[test]
    fn manifests(changes in changes()) {
        fn read<T: BuiltIn>(changes: &[Change]) {
            for (name, text) in T::texts() {
                let bytes = changed(text.as_bytes(), changes);
                let _ = T::parse(name, &String::from_utf8_lossy(&bytes));
            }
        }
        read::<Manifest>(&changes);
        read::<FolderSource>(&changes);
        read::<FilesSource>(&changes);
        read::<RecordsManifest>(&changes);
        read::<TextEncoder>(&changes);
        prop_assert!(most_memory() < MOST_MEMORY);
    }
}

#[test]
fn archives_are_read_without_by_products_and_stop_at_their_limits() {
    let files = [
        ("set/1.txt", "one"),
        ("set/._1.txt", "x"),
        ("__MACOSX/set/2.txt", "x"),
        (".DS_Store", "x"),
    ];
    let one = [("set/1.txt".to_owned(), "one".to_owned())];
    let mut bytes = gzip(&tar(&files));
    assert_eq!(texts(&bytes).unwrap(), one);
    bytes.extend([0; 1000]);
    assert_eq!(texts(&bytes).unwrap(), one);

    let long = " ".repeat((16 << 20) + 1);
    let error = texts(&gzip(&tar(&[("long.txt", &long)]))).unwrap_err();
    assert!(error.contains("long.txt: expected at most 16777216 bytes"), "{error}");
    assert!(texts(b"no archive").unwrap_err().contains("not a readable .tar.gz"));
}

#[test]
fn an_archive_that_unfolds_without_end_takes_no_memory_for_it() {
    // A heading of a file of 7 GiB, and 300 MiB of it.
    let mut header = tar::Header::new_gnu();
    header.set_path("bomb.txt").unwrap();
    header.set_size(7 << 30);
    header.set_entry_type(tar::EntryType::Link);
    header.set_cksum();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(header.as_bytes()).unwrap();
    for _ in 0..300 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let error = texts(&encoder.finish().unwrap()).unwrap_err();
    assert!(error.contains("at most 268435456 bytes"), "{error}");
    assert!(most_memory() < MOST_MEMORY);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn answers_of_the_hub(changes in changes(), of_body: bool, which in 0..2_usize) {
        let asked = AtomicUsize::new(0);
        let changes = Mutex::new(changes);
        let server = Server::start(move |request, stream| {
            let bytes = content();
            let (first, last) = request.range.unwrap_or((0, None));
            let last = last.unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
            let mut body = bytes[first.min(last)..=last].to_vec();
            let mut head = format!(
                "HTTP/1.1 206 Partial Content\r\n{}Content-Range: bytes {first}-{last}/{}\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                hub_headers(&bytes),
                bytes.len(),
                body.len()
            )
            .into_bytes();
            if asked.fetch_add(1, Ordering::SeqCst) == which {
                let changes = changes.lock().unwrap();
                if of_body {
                    body = changed(&body, &changes);
                } else {
                    head = changed(&head, &changes);
                }
            }
            let _ = stream.write_all(&head).and_then(|()| stream.write_all(&body));
            true
        });
        let patience = Patience {
            attempts: 2,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(1),
            answer: Duration::from_millis(500),
            silence: Duration::from_millis(500),
        };
        let (hub, _folder) = client(&server.endpoint, patience);
        let start = Instant::now();
        let fetched = hub.fetch(&remote());
        prop_assert!(start.elapsed() < Duration::from_secs(10));
        if let (Ok(path), true) = (&fetched, of_body) {
            prop_assert_eq!(std::fs::read(path).unwrap(), content());
        }
        prop_assert_eq!(fetched.is_ok(), hub.cached(&remote()).is_some());
        prop_assert!(most_memory() < MOST_MEMORY);
    }
}
