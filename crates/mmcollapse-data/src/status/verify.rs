//! What `data fetch` and `data verify` do: every part of a source decoded, and its digest held against what is expected.

use std::path::Path;
use std::time::Instant;

use super::named::Sources;
use super::{Verdict, Verified, encoder, records};
use crate::embedded::Excerpt;
use crate::files::{FilesSource, KnownFile};
use crate::folder::{self, FolderClip, FolderSource};
use crate::hub::Hub;
use crate::sets::Physionet2012;
use crate::{DataError, LoadOptions, sources};

/// Lines of differing or missing recordings that are printed.
const EXAMPLES: usize = 10;

/// Downloads what is missing of the source or data set `name` (`all` for everything) and verifies it.
///
/// # Errors
/// When a file cannot be had or does not decode to what its manifest says.
pub fn fetch(name: &str, options: &LoadOptions) -> Result<Vec<Verified>, DataError> {
    let hub = sources::hub(options);
    let named = Sources::named(name)?;
    for manifest in &named.hub {
        sources::files(manifest, &hub)?;
    }
    for source in &named.files {
        source.open().obtain(options)?;
    }
    for manifest in &named.records {
        manifest.open().obtain(options)?;
    }
    verify_in(name, &hub)
}

/// Decodes what is in the cache of the source or data set `name` (`all` for everything) and checks its digests.
///
/// # Errors
/// When a file is not there (nothing is downloaded) or does not decode to what its manifest says.
pub fn verify(name: &str, options: &LoadOptions) -> Result<Vec<Verified>, DataError> {
    let hub = Hub {
        offline: true,
        ..sources::hub(options)
    };
    verify_in(name, &hub)
}

/// [`verify`] for another hub than the environment's; downloads what is missing unless that hub is offline.
///
/// # Errors
/// When a file cannot be had or a hub's file does not decode to what its manifest says. Of folders, the user's or of
/// downloads, every part is reported with its [`Verdict`].
pub fn verify_in(name: &str, hub: &Hub) -> Result<Vec<Verified>, DataError> {
    let mut verified = Vec::new();
    let mut named = Sources::named(name)?;
    if name == "all" {
        named.retain_there(hub);
    }
    for manifest in named.hub {
        for (part, content) in &manifest.content {
            let start = Instant::now();
            let records = sources::records(&manifest, part, hub)?;
            verified.push(Verified {
                source: manifest.name.clone(),
                part: part.clone(),
                rows: records.len(),
                digest: content.digest.clone(),
                verdict: Verdict::Expected,
                details: Vec::new(),
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
    for excerpt in named.embedded {
        verified.extend(built_in(&excerpt)?);
    }
    for source in named.folders {
        verified.push(recordings(&source)?);
    }
    for source in named.files {
        verified.extend(files(&source)?);
    }
    for manifest in named.records {
        verified.extend(records::verify(&manifest)?);
    }
    for manifest in named.encoders {
        verified.push(encoder::verify(&manifest, hub)?);
    }
    Ok(verified)
}

/// The parts of an excerpt that is built into the program.
fn built_in(excerpt: &Excerpt) -> Result<Vec<Verified>, DataError> {
    let start = Instant::now();
    let excerpted = excerpt.decode()?;
    let verified = excerpted.parts().into_iter().filter_map(|(part, records)| {
        Some(Verified {
            source: excerpt.name.clone(),
            part: part.to_owned(),
            rows: records.len(),
            digest: excerpt.content.get(part)?.digest.clone(),
            verdict: Verdict::Expected,
            details: Vec::new(),
            seconds: start.elapsed().as_secs_f64(),
        })
    });
    Ok(verified.collect())
}

/// The recordings of the user's folder.
fn recordings(source: &FolderSource) -> Result<Verified, DataError> {
    let start = Instant::now();
    let clips = source.clips(source.folder().as_deref())?;
    Ok(Verified {
        seconds: start.elapsed().as_secs_f64(),
        ..compared(source, &clips)
    })
}

/// `clips`, held one by one against those that were tested with.
fn compared(source: &FolderSource, clips: &[FolderClip]) -> Verified {
    let digest = folder::digest(clips);
    let found = source.compare(clips);
    let mut details = vec![format!(
        "{} of the {} recordings tested with, {} in all",
        found.same, found.expected, found.found
    )];
    let verdict = if digest == source.content.digest {
        Verdict::Expected
    } else if found.found < found.expected || (found.same > 0 && !found.other.is_empty()) {
        // Another resampler changes every recording: where only some differ, they are damaged.
        details.extend(examples("not there", found.missing));
        details.extend(examples("of other samples", found.other));
        Verdict::Wrong
    } else {
        Verdict::OtherSamples
    };
    Verified {
        source: source.name.clone(),
        part: "all".into(),
        rows: clips.len(),
        digest,
        verdict,
        details,
        seconds: 0.,
    }
}

/// `lines`, of which the first are printed, and how many more are `what`.
fn examples(what: &str, mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(EXAMPLES);
    lines.truncate(EXAMPLES);
    for line in &mut lines {
        *line = format!("{what}: {line}");
    }
    if more > 0 {
        lines.push(format!("{what}: {more} more"));
    }
    lines
}

/// Each file of the user's folder or of the downloads, held against its digest.
fn files(source: &FilesSource) -> Result<Vec<Verified>, DataError> {
    let folder = source.open().folder();
    let folder = folder.ok_or_else(|| source.wrong(format!("{} is not set", source.variable)))?;
    let mut verified = in_folder(source, &folder);
    if source.name == Physionet2012::SOURCE && verified.iter().all(|file| !file.verdict.is_fault()) {
        verified.push(stays(source, &folder)?);
    }
    Ok(verified)
}

/// What PhysioNet 2012's files are read as.
fn stays(source: &FilesSource, folder: &Path) -> Result<Verified, DataError> {
    let start = Instant::now();
    let (stays, details) = Physionet2012::coverage(Some(folder))?;
    Ok(Verified {
        source: source.name.clone(),
        part: "stays".into(),
        rows: stays,
        digest: String::new(),
        verdict: Verdict::Expected,
        details,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn in_folder(source: &FilesSource, folder: &Path) -> Vec<Verified> {
    let of_file = |file: &KnownFile| {
        let start = Instant::now();
        let found = file.find(folder);
        Verified {
            source: source.name.clone(),
            part: file.name.clone(),
            rows: found.lines,
            digest: found.sha256,
            verdict: if found.fault.is_none() {
                Verdict::Expected
            } else {
                Verdict::Wrong
            },
            details: found
                .fault
                .map(|fault| format!("{}: {fault}", folder.join(&file.name).display()))
                .into_iter()
                .collect(),
            seconds: start.elapsed().as_secs_f64(),
        }
    };
    source.files.iter().map(of_file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Identity;
    use crate::manifest::BuiltIn;

    /// The recordings that were tested with, without their samples, which nothing here looks at.
    fn tested_with() -> (FolderSource, Vec<FolderClip>) {
        let known = include_str!("../../../../data/esc10-clips.csv").lines().skip(1);
        let byte = |hex: &str, i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        let clip = |line: &str| {
            let (name, digest) = line.split_once(',').unwrap();
            FolderClip {
                identity: Identity {
                    label: 0,
                    sha256: std::array::from_fn(|i| byte(digest, i)),
                },
                name: name.to_owned(),
                samples: Vec::new(),
            }
        };
        (FolderSource::find("esc10").unwrap(), known.map(clip).collect())
    }

    #[test]
    fn missing_and_damaged_recordings_are_named_and_another_resampler_is_none_of_both() {
        let (source, clips) = tested_with();
        assert_eq!(clips.len(), source.content.rows);
        let few = compared(&source, &clips[..10]);
        assert_eq!(few.verdict, Verdict::Wrong);
        let text = few.to_string();
        assert!(
            text.contains("10 of the 398 recordings tested with, 10 in all"),
            "{text}"
        );
        assert!(text.contains("not there: 378 more"), "{text}");

        let mut damaged = clips.clone();
        damaged[3].identity.sha256 = [7; 32];
        let one = compared(&source, &damaged);
        assert_eq!(one.verdict, Verdict::Wrong);
        assert!(
            one.details[1].contains(&clips[3].name) && one.details[1].contains("expected"),
            "{one}"
        );

        for clip in &mut damaged {
            clip.identity.sha256[0] ^= 1;
        }
        assert_eq!(compared(&source, &damaged).verdict, Verdict::OtherSamples);
    }

    #[test]
    fn each_file_of_a_folder_is_compared() {
        let place = tempfile::tempdir().unwrap();
        let source = crate::sets::Mfeat::source().unwrap();
        mmcollapse_files::write_atomic(&place.path().join(&source.files[0].name), b"1 2 3\n").unwrap();
        let found = in_folder(&source, place.path());
        assert_eq!(found.len(), source.files.len());
        assert!(found.iter().all(|file| file.verdict == Verdict::Wrong));
        assert!(found[0].details[0].contains("expected"), "{}", found[0]);
        assert!(found[1].digest.is_empty() && found[1].details[0].contains(&source.files[1].name));
    }
}
