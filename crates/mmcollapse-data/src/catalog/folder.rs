//! Folders of recordings that the user names as sources.

use std::path::PathBuf;
use std::time::Instant;

use super::{About, Access, Need, Place, Source};
use crate::DataError;
use crate::folder::{self, FolderClip, FolderSource};
use crate::hub::Hub;
use crate::status::{Verdict, Verified};

/// Lines of differing or missing recordings that are printed.
const EXAMPLES: usize = 10;

impl Source for FolderSource {
    fn about(&self) -> About<'_> {
        About {
            name: &self.name,
            title: &self.title,
            licence: &self.licence,
            citation: &self.citation,
            access: Access::Open,
            need: Need::Optional,
            content: "recordings".to_owned(),
            size: self.content.rows.to_string(),
        }
    }

    fn place(&self, _hub: &Hub) -> Place {
        Place::of_folder(&self.name, &self.variable, self.folder(), false)
    }

    fn details(&self, _hub: &Hub) -> Vec<(&'static str, String)> {
        vec![
            ("from", self.address.clone()),
            ("variable", self.variable.clone()),
            ("content", format!("all: {} rows", self.content.rows)),
        ]
    }

    fn local_files(&self, _hub: &Hub) -> Option<Vec<PathBuf>> {
        let recordings = self.paths(self.folder().as_deref()).ok()?;
        Some(recordings.into_iter().map(|(_, path)| path).collect())
    }

    fn verify(&self, _hub: &Hub) -> Result<Vec<Verified>, DataError> {
        let start = Instant::now();
        let clips = self.clips(self.folder().as_deref())?;
        Ok(vec![Verified {
            seconds: start.elapsed().as_secs_f64(),
            ..compared(self, &clips)
        }])
    }
}

/// Compares `clips` one by one with the recordings that were tested with.
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
        rows: clips.len(),
        digest,
        verdict,
        details,
        ..Verified::new(&source.name, "all")
    }
}

/// Keeps the first of `lines`, and says how many more are `what`.
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
}
